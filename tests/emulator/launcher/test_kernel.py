from __future__ import annotations

import errno
import mmap
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentrun.emulator.launcher import kernel
from tests.emulator.launcher.children import LONGEST_SECONDS, as_both_users, in_child


def _enter(flags: int) -> None:
    """Enter fresh namespaces in which this process has the rights of root, whoever it is."""
    user, group = os.geteuid(), os.getegid()
    kernel.set_dumpable(True)  # A change of user took it away, and with it the right to write the maps.
    kernel.unshare(kernel.CLONE_NEWUSER | flags)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if flags & kernel.CLONE_NEWNS:
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)


def _namespaces_work() -> bool:
    try:
        in_child(lambda: _enter(kernel.CLONE_NEWNS))
    except OSError:
        return False
    return True


needs_namespaces = pytest.mark.skipif(not _namespaces_work(), reason="this machine forbids user namespaces")


def _tmpfs(path: Path) -> str:
    path.mkdir(exist_ok=True)
    kernel.mount("tmpfs", str(path), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    return str(path)


def _status(field: str, text: str | None = None) -> str:
    lines = (text or Path("/proc/self/status").read_text()).splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


def _capabilities(text: str | None = None) -> set[str]:
    return {_status(field, text) for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kernel.mount("none", "/nowhere", "tmpfs", 0, "size=1m"), "mount tmpfs at /nowhere"),
        (lambda: kernel.umount2("/nowhere"), "umount /nowhere"),
        (lambda: kernel.pivot_root("/nowhere", "/old"), "pivot_root to /nowhere"),
        (lambda: kernel.setns(-1, kernel.CLONE_NEWNET), "setns to descriptor -1 (CLONE_NEWNET)"),
        (lambda: kernel.pidfd_open(-1), "pidfd_open -1"),
        (lambda: kernel.pidfd_send_signal(-1, 0), "pidfd_send_signal 0"),
        (lambda: kernel.unshare(1), "unshare"),
        (lambda: kernel.set_mount_attributes("/nowhere", kernel.MOUNT_ATTR_RDONLY), "mount_setattr /nowhere"),
    ],
)
def test_an_error_says_what_was_tried(call: Callable[[], object], said: str) -> None:
    with pytest.raises(OSError, match=re.escape(said)) as caught:
        call()
    assert caught.value.errno
    assert os.strerror(caught.value.errno) in str(caught.value)


@needs_namespaces
@as_both_users
def test_mounts_are_made_changed_and_removed(user: int | None) -> None:
    def action() -> None:
        _enter(kernel.CLONE_NEWNS)
        top = _tmpfs(Path("/tmp"))
        below = _tmpfs(Path(top) / "below")
        Path(below, "file").write_text("before")
        with pytest.raises(OSError, match="No space left"):
            Path(below, "large").write_bytes(bytes(2 << 20))
        kernel.set_mount_attributes(top, kernel.MOUNT_ATTR_RDONLY)
        with pytest.raises(OSError, match="Read-only file system"):
            Path(below, "file").write_text("after")
        assert Path(below, "file").read_text() == "before"
        kernel.umount2(below, kernel.MNT_DETACH)
        assert os.listdir(below) == []

    in_child(action, user)


@needs_namespaces
@as_both_users
def test_the_root_can_be_another(user: int | None) -> None:
    def action() -> list[str]:
        _enter(kernel.CLONE_NEWNS)
        root = _tmpfs(Path("/tmp"))
        os.mkdir(f"{root}/old")
        os.mkdir(f"{root}/new")
        os.chdir(root)
        kernel.pivot_root(".", "old")
        os.chdir("/")
        kernel.umount2("/old", kernel.MNT_DETACH)
        return sorted(os.listdir("/") + os.listdir("/old"))

    assert in_child(action, user) == ["new", "old"]


@needs_namespaces
@as_both_users
def test_a_fresh_network_namespace_gets_its_loopback(user: int | None) -> None:
    def action() -> bytes:
        _enter(kernel.CLONE_NEWNET)
        with socket.socket() as early, pytest.raises(OSError, match="unreachable"):
            early.connect(("127.0.0.1", 1))
        kernel.bring_loopback_up()
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
            client.connect(server.getsockname())
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"hello")
                return accepted.recv(5)

    assert in_child(action, user) == b"hello"


@needs_namespaces
@as_both_users
def test_several_namespaces_of_a_process_are_joined_at_once(user: int | None) -> None:
    def stay(ready: int, until: int) -> None:
        _enter(kernel.CLONE_NEWUTS | kernel.CLONE_NEWNET)
        kernel.set_hostname("inside")
        os.write(ready, b"1")
        os.read(until, 1)
        os._exit(0)

    def action() -> tuple[str, bool]:
        ready, tell_ready = os.pipe()
        until, end = os.pipe()
        outside = os.stat("/proc/self/ns/net").st_ino
        pid = os.fork()
        if pid == 0:
            stay(tell_ready, until)
        os.read(ready, 1)
        process = kernel.pidfd_open(pid)
        kernel.setns(process, kernel.CLONE_NEWUSER | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNET)
        os.write(end, b"1")
        os.waitpid(pid, 0)
        return socket.gethostname(), os.stat("/proc/self/ns/net").st_ino != outside

    assert in_child(action, user) == ("inside", True)


@as_both_users
def test_a_child_dies_with_its_parent(user: int | None) -> None:
    def action() -> bool:
        alive, held = os.pipe()
        parent = os.fork()
        if parent == 0:
            ready, tell_ready = os.pipe()
            if os.fork() == 0:
                kernel.set_parent_death_signal()
                os.write(tell_ready, b"1")
                signal.alarm(LONGEST_SECONDS)
                signal.pause()
            os.read(ready, 1)
            os._exit(0)
        os.close(held)
        os.waitpid(parent, 0)
        ended, _, _ = select.select([alive], [], [], 5)  # Readable once the last holder of the other end is gone.
        return bool(ended)

    assert in_child(action, user)


@as_both_users
def test_orphans_come_to_the_subreaper(user: int | None) -> None:
    def action() -> bool:
        kernel.set_child_subreaper()
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                os._exit(7)
            os._exit(0)
        statuses = [os.wait()[1] for _ in range(2)]
        return 7 in [os.waitstatus_to_exitcode(status) for status in statuses]

    assert in_child(action, user)


@as_both_users
def test_new_privileges_and_dumps_are_given_up(user: int | None) -> None:
    def action() -> tuple[str, int, int]:
        dumpable = 3
        kernel.set_no_new_privileges()
        kernel.set_dumpable(False)
        before = kernel.prctl("get", dumpable)
        kernel.set_dumpable(True)
        return _status("NoNewPrivs"), before, kernel.prctl("get", dumpable)

    assert in_child(action, user) == ("1", 0, 1)


@as_both_users
def test_no_capability_is_left_nor_comes_back(user: int | None) -> None:
    def action() -> tuple[set[str], set[str]]:
        kernel.set_no_new_privileges()
        kernel.drop_capabilities()
        executed = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True, check=True)
        return _capabilities(), _capabilities(executed.stdout)

    nothing = "0" * 16
    own, executed = in_child(action, user)
    # An ordinary user may not change its bounding set, which gives nothing to one that gains nothing.
    assert own - {_status("CapBnd")} == executed - {_status("CapBnd")} == {nothing}
    if os.geteuid() == 0 and user is None:
        assert own == executed == {nothing}


@needs_namespaces
def test_capabilities_of_a_user_namespace_are_dropped_too() -> None:
    def action() -> tuple[set[str], int | None]:
        _enter(kernel.CLONE_NEWUTS)
        kernel.set_hostname("still-allowed")
        kernel.drop_capabilities()
        try:
            kernel.set_hostname("refused")
        except OSError as error:
            return _capabilities(), error.errno
        return _capabilities(), None

    assert in_child(action) == ({"0" * 16}, errno.EPERM)


@as_both_users
def test_descriptors_that_are_not_kept_are_closed(user: int | None) -> None:
    def action() -> dict[str, bool]:
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        names = {"kept": opened[3], "kept too": opened[4], "next": opened[5], "between": opened[10], "last": opened[-1]}
        answer_pipe = [int(name) for name in os.listdir("/proc/self/fd") if int(name) not in opened]
        kernel.close_descriptors_except([opened[4], opened[3], *answer_pipe])
        return {name: os.path.exists(f"/proc/self/fd/{descriptor}") for name, descriptor in names.items()}

    assert in_child(action, user) == {
        "kept": True,
        "kept too": True,
        "next": False,
        "between": False,
        "last": False,
    }


@as_both_users
def test_a_process_is_signalled_and_awaited_by_its_descriptor(user: int | None) -> None:
    def action() -> tuple[bool, bool, int]:
        child = os.fork()
        if child == 0:
            signal.pause()
        process = kernel.pidfd_open(child)
        alive, _, _ = select.select([process], [], [], 0)
        kernel.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], 10)
        return bool(alive), bool(ended), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert in_child(action, user) == (False, True, -signal.SIGTERM)


@pytest.mark.skipif(
    not os.path.exists("/sys/kernel/mm/transparent_hugepage")
    or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1),
    reason="this kernel cannot collapse memory into huge pages",
)
@as_both_users
def test_private_memory_becomes_huge_pages_and_keeps_its_content(user: int | None) -> None:
    blocks = 8

    def huge_kibibytes() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages:"))

    def action() -> tuple[int, int, bool]:
        kernel.set_dumpable(True)  # Otherwise an ordinary user may not read its own /proc/self/smaps_rollup.
        size = (blocks + 1) * kernel.HUGE_PAGE_BYTES
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory[:] = b"abcdefgh" * (size // 8)
        count = kernel.collapse_private_memory()
        return count, huge_kibibytes(), memory[:] == b"abcdefgh" * (size // 8)

    count, kibibytes, intact = in_child(action, user)
    assert count >= blocks
    assert kibibytes >= blocks * kernel.HUGE_PAGE_BYTES // 1024
    assert intact


def test_importing_is_quick_and_needs_nothing_of_the_package() -> None:
    program = (
        "import sys, time, ctypes, socket, typing; sys.path.insert(0, sys.argv[1]);"
        "began = time.perf_counter(); import kernel; print(time.perf_counter() - began)"
    )
    folder = str(Path(kernel.__file__).parent)
    seconds = min(
        float(subprocess.run([sys.executable, "-c", program, folder], capture_output=True, check=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.020  # Less than 3 ms on an idle machine, compiling included.
