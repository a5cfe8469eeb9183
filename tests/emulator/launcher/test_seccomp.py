from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import shutil
import socket
import stat
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agentrun.emulator.launcher import kernel, seccomp, syscalls
from tests.emulator.launcher.children import as_both_users, become, in_child

ALLOW = 0x7FFF0000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FILTER = seccomp.compile_filter()
NUMBERS = syscalls.numbers(syscalls.machine())
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for any user; what pytest makes is closed to others than its own."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o777)
        yield Path(path)


class Answer:
    """What a filter answers to one system call, found by stepping through its program as the kernel would."""

    def __init__(self, program: bytes, architecture: int, number: int, *arguments: int) -> None:
        padded = (*arguments, *(0,) * (6 - len(arguments)))
        self._call = struct.pack("<iIQ6Q", number, architecture, 0, *(value & (1 << 64) - 1 for value in padded))
        self._program = program
        self.steps = 0
        self.value = self._run()

    def _run(self) -> int:
        value = position = 0
        while True:
            code, if_true, if_false, operand = struct.unpack_from("<HBBI", self._program, position * 8)
            position += 1
            self.steps += 1
            if code == 0x06:
                return int(operand)
            if code == 0x20:
                (value,) = struct.unpack_from("<I", self._call, operand)
            elif code == 0x54:
                value &= operand
            elif code == 0x05:
                position += operand
            else:
                true = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
                position += if_true if true else if_false


def _answer(machine: str, number: int, *arguments: int) -> int:
    return Answer(seccomp.compile_filter(machine), ARCHITECTURES[machine], number, *arguments).value


def _refusal(number: int) -> int:
    return 0x50000 | number


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_every_number_is_answered_as_the_list_says(machine: str) -> None:
    program, by_name = seccomp.compile_filter(machine), syscalls.numbers(machine)
    names = {number: name for name, number in by_name.items()}
    tested = {"clone", "ioctl", "mknod", "mknodat", "personality", "socket", "socketpair"}
    for number in range(600):
        answer = Answer(program, ARCHITECTURES[machine], number)
        name = names.get(number)
        if name in tested:
            continue
        if name in syscalls.allowed():
            assert answer.value == ALLOW, name
            assert answer.steps <= 12, name
        elif name is None or name in syscalls.PROBED:
            assert answer.value == _refusal(errno.ENOSYS), number
        else:
            assert answer.value == _refusal(errno.EPERM), name


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_the_list_names_only_calls_that_exist(machine: str) -> None:
    everywhere = {name for each in syscalls.MACHINES for name in syscalls.numbers(each)}
    assert syscalls.allowed() | syscalls.PROBED <= everywhere
    # What programs cannot start without.
    assert {"read", "execve", "mmap", "futex", "openat", "exit_group"} <= set(syscalls.numbers(machine))


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_calls_of_other_architectures_do_not_exist(machine: str) -> None:
    program = seccomp.compile_filter(machine)
    x86_in_32_bits = 0x40000003
    assert Answer(program, x86_in_32_bits, 3).value == _refusal(errno.ENOSYS)
    x32_write, none = 0x40000001, -1
    assert Answer(program, ARCHITECTURES[machine], x32_write).value == _refusal(errno.ENOSYS)
    assert Answer(program, ARCHITECTURES[machine], none).value == _refusal(errno.ENOSYS)


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_arguments_are_tested_on_every_machine(machine: str) -> None:
    number = syscalls.numbers(machine)
    thread_flags = 0x3D0F00
    assert _answer(machine, number["clone"], thread_flags) == ALLOW
    assert _answer(machine, number["clone"], thread_flags | kernel.CLONE_NEWNET) == _refusal(errno.EPERM)
    assert _answer(machine, number["ioctl"], 0, 0x5413) == ALLOW
    assert _answer(machine, number["ioctl"], 0, 0x5412) == _refusal(errno.EPERM)
    # The kernel ignores the upper half of the request, so it must not hide one.
    assert _answer(machine, number["ioctl"], 0, 0x1_0000_5412) == _refusal(errno.EPERM)
    assert _answer(machine, number["mknodat"], 0, 0, stat.S_IFIFO | 0o600) == ALLOW
    assert _answer(machine, number["mknodat"], 0, 0, stat.S_IFSOCK | 0o600) == ALLOW
    assert _answer(machine, number["mknodat"], 0, 0, stat.S_IFBLK | 0o600) == _refusal(errno.EPERM)
    assert _answer(machine, number["personality"], 0xFFFFFFFF) == ALLOW
    read_implies_exec = 0x400000
    assert _answer(machine, number["personality"], read_implies_exec) == _refusal(errno.EPERM)


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_without_sockets_none_is_made_whatever_its_family_is(machine: str) -> None:
    program, number = seccomp.compile_filter(machine, sockets=False), syscalls.numbers(machine)
    for family in (*range(64), 1 << 31):
        for kind in range(1, 11):
            answer = Answer(program, ARCHITECTURES[machine], number["socket"], family, kind)
            assert answer.value == _refusal(errno.EAFNOSUPPORT), (family, kind)
    unix, internet = Answer(program, ARCHITECTURES[machine], number["socketpair"], socket.AF_UNIX, 1), socket.AF_INET
    assert unix.value == ALLOW
    pair = Answer(program, ARCHITECTURES[machine], number["socketpair"], internet, 1)
    assert pair.value == _refusal(errno.EAFNOSUPPORT)
    with_sockets = seccomp.compile_filter(machine, sockets=True)
    assert with_sockets == seccomp.compile_filter(machine) != program


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_nothing_makes_sockets_or_requests_past_the_filter(machine: str) -> None:
    """What the whole machine shares a number of, or what does the work of refused calls, is answered as unknown."""
    program, number = seccomp.compile_filter(machine), syscalls.numbers(machine)
    for name in ("io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_cancel", "io_destroy", "io_uring_setup"):
        assert Answer(program, ARCHITECTURES[machine], number[name]).value == _refusal(errno.ENOSYS), name


def test_an_unknown_machine_is_named() -> None:
    with pytest.raises(KeyError, match="riscv64"):
        seccomp.compile_filter("riscv64")


def _header_numbers(path: str) -> dict[str, set[int]]:
    """Return every number that a header of the kernel gives a name, resolving names that stand for other names."""
    defined: dict[str, set[str]] = {}
    for name, value in re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\w+)", Path(path).read_text(), re.M):
        defined.setdefault(name, set()).add(re.sub(r"^__NR(3264)?_", "", value))
    resolved: dict[str, set[int]] = {}
    for name, values in defined.items():
        sources = values | {value for source in values for value in defined.get(source, ())}
        resolved[name] = {int(value) for value in sources if value.isdigit()}
    return resolved


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    if not os.path.exists(header):
        pytest.skip(f"{header} is not installed")
    theirs, ours = _header_numbers(header), syscalls.numbers(machine)
    newest = max(number for name, numbers in theirs.items() for number in numbers if name in ours)
    compared = {name: number for name, number in ours.items() if number <= newest}
    assert len(compared) > 300
    assert {name: theirs.get(name) for name, number in compared.items() if number not in theirs.get(name, ())} == {}


# Every argument is one that no kernel could make use of, in case the call did go through.
REFUSED = """
    acct add_key adjtimex bpf chroot clock_settime delete_module finit_module fsopen init_module keyctl mount
    mount_setattr move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
    process_vm_readv process_vm_writev ptrace quotactl reboot request_key setdomainname sethostname setns settimeofday
    swapoff swapon syslog umount2 unshare userfaultfd kcmp memfd_secret fanotify_init kexec_file_load process_madvise
"""


@as_both_users
def test_what_could_reach_beyond_the_sandbox_is_refused(user: int | None) -> None:
    def refusal_of(name: str) -> int | None:
        try:
            kernel.system_call(name, NUMBERS[name], -1, -1, -1, -1, -1, -1)
        except OSError as error:
            return error.errno
        return None

    def action() -> dict[str, int | None]:
        seccomp.install(FILTER)
        return {name: refusal_of(name) for name in REFUSED.split()}

    assert in_child(action, user) == dict.fromkeys(REFUSED.split(), errno.EPERM)


def _error(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


@as_both_users
def test_namespaces_cannot_be_made_by_any_way_of_forking(user: int | None) -> None:
    def fork_with(flags: int) -> int | None:
        return _error(lambda: kernel.system_call("clone", NUMBERS["clone"], flags | 17))

    def action() -> list[int | None]:
        seccomp.install(FILTER)
        every = [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)]
        clone3 = _error(lambda: kernel.system_call("clone3", NUMBERS["clone3"]))
        return [clone3, *(fork_with(flag) for flag in every)]

    assert in_child(action, user) == [errno.ENOSYS, *[errno.EPERM] * 7]


@as_both_users
def test_only_ordinary_sockets_can_be_made(user: int | None) -> None:
    unix, inet, inet6, netlink = socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK
    stream, datagram, raw, packet = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 10
    alg, vsock, bluetooth, multipath, sctp, netfilter = 38, 40, 31, 262, 132, 12
    expected = {
        (unix, stream, 0): None,
        (unix, stream | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0): None,
        (unix, socket.SOCK_SEQPACKET, 0): None,
        (inet, stream, 0): None,
        (inet, datagram, socket.IPPROTO_UDP): None,
        (netlink, raw, 0): None,
        (inet, raw, socket.IPPROTO_ICMP): errno.EPERM,
        (inet6, raw, 0): errno.EPERM,
        (inet, packet, 0): errno.EPERM,
        (inet, stream, multipath): errno.EPROTONOSUPPORT,
        (inet, stream, sctp): errno.EPROTONOSUPPORT,
        (netlink, raw, netfilter): errno.EPROTONOSUPPORT,
        (netlink, stream, 0): errno.EPERM,
        (socket.AF_PACKET, raw, 0): errno.EAFNOSUPPORT,
        (alg, socket.SOCK_SEQPACKET, 0): errno.EAFNOSUPPORT,
        (vsock, stream, 0): errno.EAFNOSUPPORT,
        (bluetooth, raw, 0): errno.EAFNOSUPPORT,
    }

    def action() -> dict[tuple[int, int, int], int | None]:
        seccomp.install(FILTER)
        return {
            wanted: _error(partial(kernel.system_call, "socket", NUMBERS["socket"], *wanted)) for wanted in expected
        }

    assert in_child(action, user) == expected


@as_both_users
def test_without_sockets_pairs_still_connect_processes(user: int | None) -> None:
    families = socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET
    filter_without_sockets = seccomp.compile_filter(sockets=False)

    def action() -> tuple[list[int | None], bytes, str]:
        seccomp.install(filter_without_sockets)
        refusals = [_error(partial(socket.socket, family, socket.SOCK_DGRAM)) for family in families]
        ours, theirs = socket.socketpair()
        ours.send(b"through a pair")
        echoed = subprocess.run(["/bin/echo", "through a pipe"], capture_output=True, text=True, check=True).stdout
        return refusals, theirs.recv(100), echoed

    assert in_child(action, user) == ([errno.EAFNOSUPPORT] * 5, b"through a pair", "through a pipe\n")


@as_both_users
def test_asynchronous_requests_are_unknown(user: int | None) -> None:
    def action() -> int | None:
        seccomp.install(FILTER)
        return _error(lambda: kernel.system_call("io_setup", NUMBERS["io_setup"], 1, 0))

    assert in_child(action, user) == errno.ENOSYS


@as_both_users
def test_keys_cannot_be_typed_for_a_terminal(user: int | None) -> None:
    tiocsti, tiocsetd, tiocgwinsz = 0x5412, 0x5423, 0x5413
    leader, follower = pty.openpty()

    def action() -> list[int | None]:
        os.setsid()
        fcntl.ioctl(follower, 0x540E, 0)  # TIOCSCTTY: one's own terminal, where the kernel would allow it.
        seccomp.install(FILTER)
        requests = (tiocsti, b"x"), (tiocsetd, struct.pack("i", 0)), (tiocgwinsz, bytes(8))
        return [_error(partial(fcntl.ioctl, follower, request, value)) for request, value in requests]

    assert in_child(action, user) == [errno.EPERM, errno.EPERM, None]
    os.close(leader)
    os.close(follower)


@as_both_users
def test_devices_cannot_be_made_but_fifos_can(folder: Path, user: int | None) -> None:

    def action() -> list[int | None]:
        seccomp.install(FILTER)
        os.chdir(folder)
        fifo = _error(lambda: os.mkfifo("fifo"))
        return [fifo, _error(lambda: os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)))]

    assert in_child(action, user) == [None, errno.EPERM]


def test_the_filter_cannot_be_taken_off() -> None:
    def action() -> tuple[int | None, str]:
        seccomp.install(FILTER)
        allow_all = struct.pack("<HBBI", 0x06, 0, 0, ALLOW)
        seccomp.install(allow_all)
        subprocess.run(["/bin/true"], check=True)
        status = Path("/proc/self/status").read_text()
        mode = next(line.split()[1] for line in status.splitlines() if line.startswith("Seccomp:"))
        return _error(lambda: kernel.unshare(kernel.CLONE_NEWUTS)), mode

    assert in_child(action) == (errno.EPERM, "2")


def test_flags_reach_the_kernel() -> None:
    def action() -> list[int | None]:
        unknown_flag = 1 << 30
        logging = seccomp.install(FILTER, seccomp.SECCOMP_FILTER_FLAG_LOG | seccomp.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
        return [logging, _error(lambda: seccomp.install(FILTER, unknown_flag))]

    assert in_child(action) == [0, errno.EINVAL]


def _run(command: list[str], folder: Path, user: int | None, said: str = "") -> str:
    """Return what a program prints that runs to its end under the filter."""

    def confine() -> None:
        become(user)
        kernel.drop_capabilities()
        seccomp.install(FILTER)

    environment = {"HOME": str(folder), "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=folder, env=environment, preexec_fn=confine, input=said, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _program(name: str) -> str:
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def _python(user: int | None) -> str:
    """Return a Python that `user` may execute."""
    return sys.executable if user is None else _program(SYSTEM_PYTHON)


PIPELINES = r"""
set -euo pipefail
printf 'b\na\n' | sort | tr a-z A-Z > sorted; diff sorted <(printf 'A\nB\n')
cat <<< "$(( $(ls | wc -l) ))"
mkfifo pipe; echo through > pipe & cat pipe; wait
sleep 100 & kill $!; wait $! || echo "ended with $?"
ulimit -n 256; (umask 077; touch private); find . -name private -perm 600 | xargs ls
tar cf - sorted | gzip | gunzip | tar tf -
"""


@as_both_users
def test_bash_runs_pipelines(folder: Path, user: int | None) -> None:
    printed = _run([_program("bash"), "-c", PIPELINES], folder, user).split("\n")
    assert printed == ["1", "through", "ended with 143", "./private", "sorted", ""]


@as_both_users
def test_git_keeps_a_repository(folder: Path, user: int | None) -> None:
    commands = """
        set -e; git init -q -b main work; cd work; git config user.name A; git config user.email a@example.com
        echo one > file; git add .; git commit -qm first; git clone -q . copy; cd copy; git log --format=%s; git gc -q
    """
    assert _run([_program("bash"), "-c", commands, _program("git")], folder, user) == "first\n"


@as_both_users
def test_node_runs_threads_files_and_children(folder: Path, user: int | None) -> None:
    program = """
        const { Worker } = require('worker_threads'); const fs = require('fs/promises');
        const http = require('http'); const { execFileSync } = require('child_process');
        (async () => {
          await fs.writeFile('file', 'text');
          const words = [await fs.readFile('file', 'utf8'), execFileSync('/bin/echo', ['child']).toString().trim()];
          const worker = new Worker("require('worker_threads').parentPort.postMessage('thread')", { eval: true });
          words.push(await new Promise(resolve => worker.once('message', resolve)));
          const server = http.createServer((_, answer) => answer.end('http')).listen(0, '127.0.0.1', async () => {
            words.push(await (await fetch(`http://127.0.0.1:${server.address().port}`)).text());
            console.log(words.join(' ')); process.exit(0);
          });
        })();
    """
    assert _run([_program("node"), "-e", program], folder, user) == "text child thread http\n"


@as_both_users
def test_gcc_makes_a_program_that_runs(folder: Path, user: int | None) -> None:
    source = '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n'
    _run([_program("gcc"), "-x", "c", "-o", "program", "-"], folder, user, said=source)
    assert _run(["./program"], folder, user) == "compiled\n"


CONCURRENCY = """
import asyncio, concurrent.futures, multiprocessing, multiprocessing.shared_memory, socket, sqlite3, threading

def square(number):
    return number * number

async def talk():
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
    answer, _ = await process.communicate(b"asyncio")
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close(); server.close()
    return answer.decode()

if __name__ == "__main__":
    said = []
    thread = threading.Thread(target=said.append, args=("thread",)); thread.start(); thread.join()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        said.append(sum(pool.map(square, range(5))))
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            said.append(sum(pool.map(square, range(4))))
    said.append(asyncio.run(talk()))
    with sqlite3.connect("data.sqlite") as database:
        database.execute("pragma journal_mode=wal"); database.execute("create table t (n)")
        database.execute("insert into t values (7)")
        said.append(database.execute("select n from t").fetchone()[0])
    said.append(len(socket.if_nameindex()) > 0)
    shared = multiprocessing.shared_memory.SharedMemory(create=True, size=10)
    shared.unlink(); said.append(shared.size >= 10)
    print(*said)
"""


@as_both_users
def test_python_runs_threads_processes_loops_and_databases(folder: Path, user: int | None) -> None:
    (folder / "program.py").write_text(CONCURRENCY)
    assert _run([_python(user), "program.py"], folder, user) == "thread 30 14 14 14 asyncio 7 True True\n"


@as_both_users
def test_sqlite3_and_curl_work(folder: Path, user: int | None) -> None:
    assert _run([_program("sqlite3"), "file.sqlite", "create table t (n); select 6 * 7"], folder, user) == "42\n"
    (folder / "page").write_text("fetched")
    fetched = _run([_program("curl"), "-s", f"file://{folder}/page"], folder, user)
    assert fetched == "fetched"


def test_pip_installs_a_package(folder: Path) -> None:
    _run([sys.executable, "-m", "venv", "environment"], folder, None)
    wheel = folder / "nothing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nothing.py", "")
        archive.writestr("nothing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        archive.writestr(
            "nothing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("nothing-1.0.dist-info/RECORD", "")
    assert "Successfully" in _run(["environment/bin/pip", "install", "--no-index", str(wheel)], folder, None)


DATA = """
import matplotlib; matplotlib.use("Agg")
import matplotlib.pyplot, numpy, pandas
frame = pandas.DataFrame({"x": numpy.arange(1000.0)}); frame["y"] = frame.x ** 2
frame.to_csv("frame.csv")
numpy.linalg.svd(numpy.random.rand(200, 200))
frame.plot(x="x", y="y"); matplotlib.pyplot.savefig("plot.png")
print(open("plot.png", "rb").read(8), int(pandas.read_csv("frame.csv").y.sum()))
"""


def test_python_plots_data(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert _run([sys.executable, "-c", DATA], folder, None) == "b'\\x89PNG\\r\\n\\x1a\\n' 332833500\n"


@as_both_users
def test_a_terminal_works(folder: Path, user: int | None) -> None:
    program = """
import os, pty, sys
pid, leader = pty.fork()
if pid == 0:
    os.execv("/bin/bash", ["bash", "--norc", "-c", "tty; stty size; stty raw -echo; read -n 2 keys; echo got $keys"])
os.write(leader, b"hi")
output = b""
try:
    while piece := os.read(leader, 1000):
        output += piece
except OSError:
    pass
os.waitpid(pid, 0)
print(b"/dev/pts/" in output, b"0 0" in output, b"got hi" in output)
"""
    assert _run([_python(user), "-c", program], folder, user) == "True True True\n"


@as_both_users
def test_files_and_descriptors_can_be_watched(folder: Path, user: int | None) -> None:
    program = """
import ctypes, os, select, signal
libc = ctypes.CDLL(None, use_errno=True)
inotify = libc.inotify_init1(0); libc.inotify_add_watch(inotify, b".", 0x100)
timer = libc.timerfd_create(1, 0)
poll = select.epoll(); poll.register(inotify, select.EPOLLIN)
open("made", "w").close()
print([event == inotify for event, _ in poll.poll(5)], timer > 0, libc.eventfd(0, 0) > 0)
"""
    assert _run([_python(user), "-c", program], folder, user) == "[True] True True\n"


def test_installing_takes_little_time() -> None:
    def action() -> float:
        seccomp.install(FILTER)  # The first one pays for the pages that a forked process copies when it writes.
        began = time.perf_counter()
        seccomp.install(FILTER)
        return time.perf_counter() - began

    assert statistics.median(in_child(action) for _ in range(9)) < 0.001  # About 55 us on an idle machine.
