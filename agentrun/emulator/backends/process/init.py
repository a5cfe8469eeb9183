"""The first process of everything the process backend starts: `python -I -S init.py`, its plan a JSON line on stdin.

It drops to the plan's user, starts the program, relays its ports, reaps orphans and ends with the program's exit code.
Only the standard library is imported and nothing of this package, because it has to be up within milliseconds.

Plan: command, environment, folder, socket (the inherited descriptor to serve on), user (uid or null), limits (RLIMIT
name to number), port (of a service; null when the program serves the inherited socket itself), forwards ([port inside,
unix socket path] pairs) and grace (seconds between SIGTERM and SIGKILL). The end of stdin means: stop the program, then
yourself.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

SERVING_FD = 3
PORT_POLL = 0.01
CHUNK = 65536
BUFFER_LIMIT = 262144
GONE = select.EPOLLHUP | select.EPOLLERR
Address = tuple[socket.AddressFamily, str, int]
LISTENING = "0A"
ANY, ANY6 = "0" * 8, "0" * 32
LOOPBACK = (
    (socket.AF_INET, "127.0.0.1", "/proc/net/tcp", (ANY, "0100007F", "7F000001")),
    (socket.AF_INET6, "::1", "/proc/net/tcp6", (ANY6, "0" * 24 + "01000000", "0" * 31 + "1")),
)


class Poller:
    """Calls a handler when its descriptor has something to tell."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.handlers: dict[int, Callable[[int], None]] = {}

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        self.handlers[fd] = handler
        self.epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        if self.handlers.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def turn(self, timeout: float | None) -> None:
        for fd, events in self.epoll.poll(timeout):
            handler = self.handlers.get(fd)
            if handler is not None:
                handler(events)


class End:
    """One of the two sockets of a relayed connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.pending = bytearray()
        self.ended = False
        self.gone = False
        self.closed_for_writing = False
        self.peer: End = self

    def receive(self) -> None:
        """Take what arrived; once the other side is gone also beyond the limit, because nothing will slow it down."""
        while not self.ended and (self.gone or len(self.peer.pending) < BUFFER_LIMIT):
            try:
                data = self.socket.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self.ended = not data
            self.peer.pending += data
            self.acknowledge()

    def acknowledge(self) -> None:
        """Say at once that it arrived: a program that writes its answer in pieces waits 40 ms for that otherwise."""
        if self.socket.family != socket.AF_UNIX and not self.ended:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def flush(self) -> None:
        try:
            while self.pending:
                del self.pending[: self.socket.send(self.pending)]
        except BlockingIOError:
            return
        except OSError:
            self.gone = True
        self.finish_writing()

    def finish_writing(self) -> None:
        if self.peer.ended and not self.closed_for_writing and not self.gone:
            self.closed_for_writing = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.gone = True

    def interest(self) -> int:
        wants = select.EPOLLOUT if self.pending else 0
        if not self.ended and len(self.peer.pending) < BUFFER_LIMIT:
            wants |= select.EPOLLIN
        return wants


class Connection:
    """Two sockets joined: bytes pass as they come, half-close and disconnect pass at once."""

    def __init__(self, poller: Poller, left: socket.socket, right: socket.socket) -> None:
        self.poller = poller
        self.ends = End(left), End(right)
        self.ends[0].peer, self.ends[1].peer = self.ends[1], self.ends[0]
        for end in self.ends:
            poller.add(end.socket.fileno(), self.handler(end))

    def handler(self, end: End) -> Callable[[int], None]:
        return lambda events: self.on_event(end, events)

    def on_event(self, end: End, events: int) -> None:
        if events & GONE and not end.gone:
            end.gone = True
            self.poller.remove(end.socket.fileno())
        end.receive()
        for side in self.ends:
            side.flush()
        self.settle()

    def settle(self) -> None:
        """Close when one side left and the other has everything, otherwise say what to wait for."""
        left, right = self.ends
        one_left = (left.gone and not right.pending) or (right.gone and not left.pending) or (left.gone and right.gone)
        both_done = left.ended and right.ended and not left.pending and not right.pending
        if one_left or both_done:
            self.close()
        else:
            self.wait()

    def wait(self) -> None:
        for end in self.ends:
            if not end.gone:
                self.poller.epoll.modify(end.socket.fileno(), end.interest())

    def close(self) -> None:
        for end in self.ends:
            self.poller.remove(end.socket.fileno())
            end.socket.close()


class Relay:
    """Joins every connection of a listening socket with a new one to its target."""

    def __init__(self, poller: Poller, listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self.poller, self.listener, self.connect = poller, listener, connect
        listener.setblocking(False)
        poller.add(listener.fileno(), self.on_connection)

    def on_connection(self, _events: int) -> None:
        try:
            accepted, _ = self.listener.accept()
        except OSError:
            return
        try:
            Connection(self.poller, accepted, self.connect())
        except OSError:
            accepted.close()


def find_listening(port: int) -> Address | None:
    """The loopback address at which the program listens by now; looked up, as a trial connection would bother it."""
    for family, host, table, addresses in LOOPBACK:
        if any(address in addresses for address in listening_addresses(table, port)):
            return family, host, port
    return None


def listening_addresses(table: str, port: int) -> list[str]:
    """The addresses, as the kernel's table writes them, at which something listens on the port."""
    try:
        with open(table) as lines:
            rows = [line.split() for line in lines]
    except OSError:
        return []
    local = [row[1].split(":") for row in rows if row[3] == LISTENING]
    return [address for address, number in local if int(number, 16) == port]


def connect_tcp(address: Address) -> socket.socket:
    """Does not wait: a program with a full backlog must not hold up the connections it already has."""
    family, host, port = address
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect_ex((host, port))
    return sock


def connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


class Init:
    """The program, what is relayed for it, and the loop that watches both."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.poller = Poller()
        self.port: int | None = plan["port"]
        self.deadline: float | None = None
        self.exit_code: int | None = None
        self.program = 0

    def run(self) -> int:
        self.watch_signals()
        self.open_forwards()
        self.program = start_program(self.plan)
        self.poller.add(0, self.on_control)
        while self.exit_code is None:
            self.open_ingress()
            self.poller.turn(self.timeout())
            if self.deadline is not None and time.monotonic() > self.deadline:
                return 128 + signal.SIGKILL
        self.poller.turn(0)
        return self.exit_code

    def timeout(self) -> float | None:
        if self.deadline is not None:
            return max(0.0, self.deadline - time.monotonic()) + 0.001
        return None if self.port is None else PORT_POLL

    def watch_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ignore)
        self.poller.add(reader, lambda _events: self.on_signals(os.read(reader, CHUNK)))

    def on_signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self.terminate()
        self.reap()

    def on_control(self, _events: int) -> None:
        if not os.read(0, CHUNK):
            self.poller.remove(0)
            self.terminate()

    def terminate(self) -> None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self.plan["grace"]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.program, signal.SIGTERM)

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.program:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code

    def open_forwards(self) -> None:
        for port, path in self.plan["forwards"]:
            listener = socket.create_server(("127.0.0.1", port), backlog=1024)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Connections inherit it.
            Relay(self.poller, listener, unix_target(path))

    def open_ingress(self) -> None:
        """Listen on the inherited socket once the program listens on its port, so that connecting proves readiness."""
        if self.port is None:
            return
        address = find_listening(self.port)
        if address is None:
            return
        self.port = None
        listener = socket.socket(fileno=SERVING_FD)
        listener.listen(1024)
        Relay(self.poller, listener, lambda: connect_tcp(address))


def ignore(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor tells the loop; without a handler Python would not write to it."""


def unix_target(path: str) -> Callable[[], socket.socket]:
    return lambda: connect_unix(path)


def start_program(plan: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        become_program(plan)
    return pid


def become_program(plan: dict[str, Any]) -> NoReturn:
    """Never returns: a program that cannot be executed ends with 127 and says why."""
    command: list[str] = plan["command"]
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.set_inheritable(SERVING_FD, plan["port"] is None)
    try:
        os.chdir(plan["folder"])
        os.execvpe(command[0], command, plan["environment"])
    except OSError as error:
        os.write(2, f"cannot run {command[0]!r}: {error.strerror}\n".encode())
    os._exit(127)


def close_inherited() -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > SERVING_FD:
            try:
                os.close(int(name))
            except OSError:
                continue


def lower_limits(limits: dict[str, int]) -> None:
    for name, wanted in limits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(number, (value, value))


def become_user(uid: int | None) -> None:
    """Leave root for good: with another uid and no_new_privs no capability can come back."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o022)


def adopt_orphans() -> None:
    """Outside a pid namespace orphans would go to the host's init; as their reaper we can end them too."""
    if os.getpid() != 1:
        import ctypes  # costs milliseconds, and only an unconfined start needs it

        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def kill_descendants() -> None:
    """What the kernel does when pid 1 ends; as a subreaper we inherit the orphans of each round until none is left."""
    children = f"/proc/self/task/{os.getpid()}/children"
    while True:
        with open(children) as listing:
            pids = [int(pid) for pid in listing.read().split()]
        if not pids:
            return
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def read_plan() -> dict[str, Any]:
    line = bytearray()
    while not line.endswith(b"\n"):
        data = os.read(0, CHUNK)
        if not data:
            sys.exit(0)
        line += data
    plan: dict[str, Any] = json.loads(line)
    return plan


def main() -> NoReturn:
    plan = read_plan()
    os.dup2(plan["socket"], SERVING_FD)
    close_inherited()
    lower_limits(plan["limits"])
    become_user(plan["user"])
    adopt_orphans()
    code = Init(plan).run()
    if os.getpid() != 1:
        kill_descendants()
    os._exit(code)


if __name__ == "__main__":
    main()
