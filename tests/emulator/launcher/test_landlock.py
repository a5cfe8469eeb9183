from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agentrun.emulator.launcher import kernel, landlock
from tests.emulator.launcher.children import as_both_users, in_child

PROGRAMS = [path for path in ("/bin", "/lib", "/lib64", "/usr") if os.path.exists(path)]

pytestmark = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")


def _since(version: int) -> pytest.MarkDecorator:
    return pytest.mark.skipif(landlock.abi() < version, reason=f"needs Landlock {version}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for any user with two in it, `mine` and `theirs`, that hold a file each."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o777)
        for name in ("mine", "theirs"):
            Path(path, name).mkdir()
            Path(path, name).chmod(0o777)
            Path(path, name, "file").write_text(name)
            Path(path, name, "file").chmod(0o777)
        yield Path(path)


def _error(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


def _restrict(folder: Path, *, network: bool = True, scoped: bool = False) -> None:
    shared = landlock.Ruleset(readable=PROGRAMS, devices=["/dev/null"])
    shared.restrict(writable=[str(folder / "mine")], network=network, scoped=scoped)


@as_both_users
def test_only_named_folders_can_be_used(folder: Path, user: int | None) -> None:
    mine, theirs = folder / "mine", folder / "theirs"

    def action() -> dict[str, int | None]:
        _restrict(folder)
        return {
            "read mine": _error((mine / "file").read_text),
            "write mine": _error(lambda: (mine / "file").write_text("x")),
            "make mine": _error((mine / "folder").mkdir),
            "make a fifo": _error(lambda: os.mkfifo(mine / "fifo")),
            "rename mine": _error(lambda: os.rename(mine / "file", mine / "folder" / "file")),
            "remove mine": _error((mine / "folder" / "file").unlink),
            "read theirs": _error((theirs / "file").read_text),
            "list theirs": _error(lambda: os.listdir(theirs)),
            "write theirs": _error(lambda: (theirs / "file").write_text("x")),
            "remove theirs": _error((theirs / "file").unlink),
            "move out": _error(lambda: os.rename(mine / "fifo", theirs / "fifo")),
            "list readable": _error(lambda: os.listdir("/usr")),
            "write readable": _error(lambda: os.mkdir("/usr/refused")),
            "use device": _error(lambda: Path("/dev/null").write_text("x")),
            "use other device": _error(lambda: Path("/dev/zero").open("rb").close()),
        }

    refused = {"read theirs", "list theirs", "write theirs", "remove theirs", "move out", "write readable"}
    refused.add("use other device")
    answers = in_child(action, user)
    assert {name for name, error in answers.items() if error is not None} == refused
    assert {answers[name] for name in refused} <= {errno.EACCES, errno.EXDEV}
    assert (folder / "theirs" / "file").read_text() == "theirs"


@as_both_users
def test_programs_that_are_started_are_restricted_too(folder: Path, user: int | None) -> None:
    script = "cp /bin/echo own && ./own copied > /dev/stdout; cat ../theirs/file"

    def action() -> tuple[str, bool]:
        _restrict(folder)
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, cwd=folder / "mine")
        return done.stdout, "Permission denied" in done.stderr

    assert in_child(action, user) == ("copied\n", True)


def test_a_program_outside_cannot_be_executed(folder: Path) -> None:
    program = folder / "theirs" / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)

    def action() -> tuple[int | None, int]:
        _restrict(folder)
        return _error(lambda: subprocess.run([program])), subprocess.run(["/bin/true"]).returncode

    assert in_child(action) == (errno.EACCES, 0)


@as_both_users
def test_single_files_can_be_named(folder: Path, user: int | None) -> None:
    mine, theirs = folder / "mine" / "file", folder / "theirs" / "file"

    def action() -> list[int | None]:
        landlock.Ruleset().restrict(readable=[str(theirs)], writable=[str(mine)])
        reading = _error(lambda: os.close(os.open(theirs, os.O_RDONLY)))
        changing = _error(lambda: os.close(os.open(theirs, os.O_WRONLY)))
        return [reading, changing, _error(lambda: os.close(os.open(mine, os.O_RDWR | os.O_TRUNC)))]

    assert in_child(action, user) == [None, errno.EACCES, None]


@as_both_users
def test_what_was_opened_before_the_fork_is_used_after_all_else_is_closed(folder: Path, user: int | None) -> None:
    shared = landlock.Ruleset(readable=[str(folder / "mine")])

    def action() -> list[int | None]:
        answer_pipe = [int(name) for name in os.listdir("/proc/self/fd")]
        kernel.close_descriptors_except([*shared.descriptors, *answer_pipe])
        shared.restrict()
        return [_error((folder / name / "file").read_text) for name in ("mine", "theirs")]

    # Twice: what one child adds or uses up must not be missing, or there, in the next.
    assert in_child(action, user) == in_child(action, user) == [None, errno.EACCES]
    opened = shared.descriptors
    assert len(opened) == 1
    shared.close()
    assert not any(os.path.exists(f"/proc/self/fd/{descriptor}") for descriptor in opened)


def test_rights_of_one_child_are_not_those_of_the_next(folder: Path) -> None:
    shared = landlock.Ruleset(readable=PROGRAMS)

    def restricted_to(name: str) -> list[int | None]:
        shared.restrict(writable=[str(folder / name)])
        return [_error((folder / each / "file").read_text) for each in ("mine", "theirs")]

    assert in_child(lambda: restricted_to("mine")) == [None, errno.EACCES]
    assert in_child(lambda: restricted_to("theirs")) == [errno.EACCES, None]
    shared.close()


def test_a_path_that_is_not_there_is_named_and_nothing_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        landlock.Ruleset(readable=["/usr", str(folder / "nowhere")])
    assert len(os.listdir("/proc/self/fd")) == before


@_since(3)
@as_both_users
def test_files_cannot_be_cut_short(folder: Path, user: int | None) -> None:
    def action() -> list[int | None]:
        landlock.Ruleset(readable=[str(folder / "theirs")]).restrict(writable=[str(folder / "mine")])
        return [_error(partial(os.truncate, folder / name / "file", 1)) for name in ("mine", "theirs")]

    assert in_child(action, user) == [None, errno.EACCES]


@_since(4)
@as_both_users
@pytest.mark.parametrize("network", [True, False])
def test_tcp_is_for_those_who_may(folder: Path, network: bool, user: int | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def action() -> list[int | None]:
            _restrict(folder, network=network)
            with socket.socket() as client, socket.socket() as other:
                return [_error(lambda: client.connect(address)), _error(lambda: other.bind(("127.0.0.1", 0)))]

        assert in_child(action, user) == ([None, None] if network else [errno.EACCES, errno.EACCES])


@_since(5)
def test_requests_are_for_named_devices(folder: Path) -> None:
    tiocgwinsz = 0x5413
    leader, follower = pty.openpty()
    name = os.ttyname(follower)

    def asked(devices: list[str]) -> int | None:
        landlock.Ruleset().restrict(readable=["/dev"], devices=devices)
        terminal = os.open(name, os.O_RDONLY | os.O_NOCTTY)
        return _error(lambda: fcntl.ioctl(terminal, tiocgwinsz, bytes(8)))

    assert in_child(lambda: asked([])) == errno.EACCES
    assert in_child(lambda: asked([name])) is None
    os.close(leader)
    os.close(follower)


@_since(6)
@pytest.mark.parametrize("scoped", [True, False])
def test_signals_and_abstract_sockets_stay_inside_when_asked(folder: Path, scoped: bool) -> None:
    outside, name = os.getpid(), f"\0agentrun-test-{os.getpid()}"

    def signal_child() -> int:
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def action() -> list[int | None]:
        _restrict(folder, scoped=scoped)
        with socket.socket(socket.AF_UNIX) as client:
            reached = _error(lambda: client.connect(name))
        return [_error(lambda: os.kill(outside, 0)), reached, signal_child()]

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert in_child(action) == [errno.EPERM if scoped else None] * 2 + [-signal.SIGTERM]


def test_mounting_is_over(folder: Path) -> None:
    def action() -> int | None:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        except OSError:
            return errno.EPERM  # A machine without namespaces: nothing could be mounted anyway.
        _restrict(folder)
        return _error(lambda: kernel.mount("tmpfs", str(folder / "mine"), "tmpfs"))

    assert in_child(action) == errno.EPERM


def test_what_old_kernels_lack_is_named() -> None:
    assert landlock.missing(0) == ("landlock",)
    assert [len(landlock.missing(version)) for version in range(1, 8)] == [5, 4, 3, 2, 1, 0, 0]
    assert "landlock tcp ports" in landlock.missing(3)
    assert "landlock tcp ports" not in landlock.missing(4)
    assert landlock.missing() == landlock.missing(landlock.abi())
    assert in_child(lambda: landlock.Ruleset().restrict(readable=["/"])) == landlock.missing()


def test_restricting_takes_little_time(folder: Path) -> None:
    shared = landlock.Ruleset(readable=PROGRAMS, devices=["/dev/null"])

    def action() -> float:
        shared.restrict(writable=["/"])  # The first one pays for the pages that a forked process copies when it writes.
        began = time.perf_counter()
        shared.restrict(writable=[str(folder)])
        return time.perf_counter() - began

    assert statistics.median(in_child(action) for _ in range(9)) < 0.001  # About 40 us on an idle machine.
    shared.close()
