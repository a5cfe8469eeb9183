"""Code that looks at, or does something to, the machine around it and the sandboxes beside it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.emulator.hostile.arena import Arena
from tests.emulator.hostile.grounds import ORDINARY_USER, ROOT, SECRET
from tests.emulator.hostile.inventory import alive_in

# Each prints what it got; `calls` gives the error's name, or a number when the call succeeded.
CALLS = """
import ctypes, errno, os, platform
library = ctypes.CDLL(None, use_errno=True)
machine = platform.machine()
def call(x86, arm, *arguments):
    result = library.syscall(x86 if machine == 'x86_64' else arm, *arguments)
    print(result if result >= 0 else errno.errorcode[ctypes.get_errno()])
"""

SYSTEM_CALLS = {
    "mount": "call(165, 40, b'none', b'/tmp', b'tmpfs', 0, None)",
    "bind mount": "call(165, 40, b'/usr', b'/tmp', None, 4096, None)",
    "remount writable": "call(165, 40, None, b'/usr', None, 32, None)",
    "umount": "call(166, 39, b'/proc', 2)",
    "pivot_root": "call(155, 41, b'/', b'/')",
    "chroot": "call(161, 51, b'/tmp')",
    "open_tree": "call(428, 428, -100, b'/', 1)",
    "move_mount": "call(429, 429, -100, b'/usr', -100, b'/tmp', 0)",
    "fsopen": "call(430, 430, b'tmpfs', 0)",
    "mount_setattr": "call(442, 442, -100, b'/', 0, b'\\0' * 32, 32)",
    "unshare users": "call(272, 97, 0x10000000)",
    "unshare mounts": "call(272, 97, 0x00020000)",
    "unshare processes": "call(272, 97, 0x20000000)",
    "unshare network": "call(272, 97, 0x40000000)",
    "clone with users": "call(56, 220, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3": "call(435, 435, b'\\0' * 64, 64)",
    "setns to itself": "call(308, 268, os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "setns by pidfd": "call(308, 268, os.pidfd_open(os.getpid()), 0x40000000)",
    "ptrace": "call(101, 117, 16, 1, 0, 0)",
    "process_vm_readv": "call(310, 270, 1, 0, 0, 0, 0, 0)",
    "process_vm_writev": "call(311, 271, 1, 0, 0, 0, 0, 0)",
    "pidfd_getfd": "call(438, 438, os.pidfd_open(1), 3, 0)",
    "kcmp": "call(312, 272, 1, os.getpid(), 0, 0, 0)",
    "keyctl": "call(250, 219, 0, -4, 1)",
    "add_key": "call(248, 217, b'user', b'name', b'secret', 6, -4)",
    "request_key": "call(249, 218, b'user', b'name', None, -4)",
    "bpf": "call(321, 280, 0, b'\\0' * 64, 64)",
    "perf_event_open": "call(298, 241, b'\\0' * 112, 0, -1, -1, 0)",
    "userfaultfd": "call(323, 282, 0)",
    "io_uring": "call(425, 425, 8, b'\\0' * 120)",
    "init_module": "call(175, 105, b'', 0, b'')",
    "kexec": "call(246, 104, 0, 0, 0, 0)",
    "reboot": "call(169, 142, 0xfee1dead, 672274793, 0, 0)",
    "swapon": "call(167, 224, b'/tmp/x', 0)",
    "settimeofday": "call(164, 170, b'\\0' * 16, 0)",
    "clock_settime": "call(227, 112, 0, b'\\0' * 16)",
    "sethostname": "call(170, 161, b'x', 1)",
    "syslog": "call(103, 116, 3, b' ' * 100, 100)",
    "open_by_handle_at": "call(304, 265, -100, b'\\0' * 24, 0)",
    "name_to_handle_at": "call(303, 264, -100, b'/', b'\\0' * 200, b'\\0' * 8, 0)",
    "quotactl": "call(179, 60, 0, 0, 0, 0)",
    "acct": "call(163, 89, b'/tmp/x')",
    "fanotify": "call(300, 262, 0, 0)",
    "other personality": "call(135, 92, 0x0400000)",
    "a device by mknod": "call(133, 33, b'/tmp/disk', 0o60666, 0x0800)"
    if os.uname().machine == "x86_64"
    else "call(0, 33, -100, b'/tmp/disk', 0o60666, 0x0800)",
    "a 32-bit call": "print('ENOSYS')"
    if os.uname().machine != "x86_64"
    else """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex('53b814000000cd80' + '5bc3'))  # getpid by int 0x80
run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
result = run()
print(result if result > 0 else errno.errorcode[-result])
""",
    "TIOCSTI": """
import fcntl, pty
_, terminal = pty.openpty()
try:
    fcntl.ioctl(terminal, 0x5412, b'x')
    print(0)
except OSError as error: print(errno.errorcode[error.errno])
""",
    "real-time priority": "call(144, 119, 0, 1, b'\\x01\\0\\0\\0')",
    "higher priority": """
try: print(os.nice(-5))
except OSError as error: print(errno.errorcode[error.errno])
""",
}

SOCKETS = {
    "raw": (2, 3, 1),
    "packet": (17, 3, 0),
    "packet datagram": (17, 2, 0),
    "vsock": (40, 1, 0),
    "netlink audit": (16, 3, 9),
    "netlink generic": (16, 3, 16),
    "netlink netfilter": (16, 3, 12),
    "kernel crypto": (38, 5, 0),
    "bluetooth": (31, 3, 1),
    "can": (29, 3, 1),
    "multipath tcp": (2, 1, 262),
    "sctp": (2, 1, 132),
    "xdp": (44, 3, 0),
    "rds": (21, 5, 0),
    "tipc": (30, 1, 0),
}

REFUSED = ("EPERM", "EACCES", "ENOSYS", "EINVAL", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ENOENT", "ESRCH")

FILES = [
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/machine-id",
    "/etc/ssh",
    "/root/.ssh",
    "/root/.bash_history",
    "/var/log",
    "/var/lib",
    "/boot",
    "/sys/kernel",
    "/sys/firmware",
    "/run/systemd",
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/dbus",
    "/run/user",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/1/environ",
    "/proc/1/mem",
    "/proc/1/fd/0",
    "/proc/1/cwd/",
    "/proc/1/root/",
    "/proc/1/maps",
    "/proc/sysrq-trigger",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/sda",
    "/dev/vda",
    "/dev/kvm",
    "/dev/fuse",
    "/dev/net/tun",
    "/dev/vsock",
]

# Files that must not be written to, and what to write.
TARGETS = {
    "/proc/sys/kernel/core_pattern": "|/tmp/x",
    "/proc/sys/kernel/modprobe": "/tmp/x",
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/net/ipv4/ip_forward": "1",
    "/proc/sys/fs/file-max": "1",
    "/proc/sysrq-trigger": "b",
    "/proc/self/oom_score_adj": "-1000",
    "/proc/self/uid_map": "0 0 1",
    "/proc/self/attr/current": "unconfined",
    "/proc/1/oom_score_adj": "1000",
    "/proc/1/comm": "x",
    "/sys/kernel/uevent_helper": "/tmp/x",
    "/sys/fs/cgroup/cgroup.procs": "0",
    "/etc/passwd": "x",
    "/etc/ld.so.preload": "/tmp/x.so",
    "/usr/bin/x": "x",
    "/x": "x",
    "/run/x": "x",
    "/dev/x": "x",
}


@pytest.fixture
def bystander() -> Generator[subprocess.Popen[bytes]]:
    """A process of the host, of the user that sandboxes of an ordinary user have, with a secret in its environment."""
    user = ORDINARY_USER if os.geteuid() == 0 else None
    process = subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, "BYSTANDER": SECRET}, user=user, group=user)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_a_system_call_that_could_lead_out(arena: Arena, name: str) -> None:
    said = arena.python(CALLS + SYSTEM_CALLS[name]).said
    assert said in REFUSED, said


def test_sockets_of_other_kinds(arena: Arena) -> None:
    code = f"""
import socket
for name, wanted in {SOCKETS!r}.items():
    try:
        socket.socket(*wanted)
        print(name)
    except OSError: pass
"""
    outcome = arena.python(code)
    assert (outcome.said, outcome.ending) == ("", "ok")


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_the_host(arena: Arena, path: str) -> None:
    """Neither code nor a command nor the interface for files gets to see it."""
    if path.startswith("/run/") and not arena.ground.has_namespaces:
        path = path.rstrip("/") + "/"
    said = arena.said(f"ls {path}/ 2>/dev/null; head -c 20 {path} 2>/dev/null; true")
    assert said == ""
    code = f"""
import os
try: print(os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}, 'rb').read(20))
except OSError: print('no')
"""
    if not (path.startswith("/proc/1/") and arena.ground.has_namespaces):  # There the interpreter may be process 1.
        assert arena.python(code).said in ("no", "b''", "[]")
    assert arena.request("GET", "files", path=path).status_code >= 400
    assert arena.request("GET", "filesystem/download", path=path).status_code >= 400


def test_the_emulator_s_own_files(arena: Arena) -> None:
    ground = arena.ground
    for path in (
        ground.state,
        ground.state / "vault.key",
        ground.directory,
        ground.directory / "listen",
        ROOT / "tests",
    ):
        assert arena.said(f"ls {path}/ 2>/dev/null; cat {path} 2>/dev/null; true") == "", path
        assert arena.request("GET", "filesystem", path=str(path)).status_code >= 400
    if ground.name != "docker":
        assert (ROOT / "tests").exists()
        assert ground.state.exists()


@pytest.mark.parametrize("path", TARGETS)
def test_a_file_that_must_not_be_written(arena: Arena, path: str) -> None:
    before = Path(path).read_bytes() if path.startswith(("/proc/sys/", "/etc/passwd")) and Path(path).exists() else b""
    code = f"""
try:
    open({path!r}, 'w').write({TARGETS[path]!r})
    print('written')
except OSError: print('no')
"""
    assert arena.python(code).said == "no"
    assert arena.request("POST", "files", {"path": path, "content": TARGETS[path]}).status_code >= 400
    if before:
        assert Path(path).read_bytes() == before


def test_environments_and_memory_hold_no_secret(arena: Arena, bystander: subprocess.Popen[bytes]) -> None:
    """Nothing of the emulator's environment, and nothing it knows, is in what interpreters were forked from."""
    assert SECRET.encode() in Path(f"/proc/{bystander.pid}/environ").read_bytes()
    code = f"""
import gc, glob, os
half = {SECRET[:20]!r}
needle = (half + {SECRET[20:]!r}).encode()
found = []
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        if needle in open(path, 'rb').read(): found.append(path)
    except OSError: pass
if needle.decode() in repr(dict(os.environ)): found.append('environ')
del path
own = id(needle)
for line in open('/proc/self/maps'):
    addresses, rights, *_ = line.split()
    if not rights.startswith('rw') or '[v' in line: continue
    start, end = (int(number, 16) for number in addresses.split('-'))
    try:
        with open('/proc/self/mem', 'rb', 0) as memory:
            memory.seek(start)
            data = memory.read(end - start) or b''
    except OSError: continue
    if data.count({SECRET[20:]!r}.encode() + b' and more'): found.append(line)
print(found)
"""
    assert arena.python(code).said == "[]"


def test_code_finds_neither_sockets_nor_folders_of_its_launcher(arena: Arena) -> None:
    """Of what an interpreter inherits only its own control socket is a socket, and no descriptor is a folder."""
    code = """
import os, stat
kinds = []
for name in os.listdir('/proc/self/fd'):
    try: mode = os.fstat(int(name)).st_mode
    except OSError: continue
    kinds.append('socket' if stat.S_ISSOCK(mode) else 'folder' if stat.S_ISDIR(mode) else 'other')
print(kinds.count('socket'), kinds.count('folder'))
"""
    assert arena.python(code).said == "1 0"
    command = "import os; print([os.readlink('/proc/self/fd/' + n) for n in '012'], len(os.listdir('/proc/self/fd')))"
    said = arena.said(f'python3 -c "{command}"')
    assert "socket" not in said, said
    assert int(said.split()[-1]) <= 4, said


def test_processes_of_the_host_are_out_of_reach(arena: Arena, bystander: subprocess.Popen[bytes]) -> None:
    code = f"""
import os, signal
for pid in ({bystander.pid}, {arena.ground.pid}, {os.getpid()}):
    for number in (0, signal.SIGCONT, signal.SIGKILL):
        try: os.kill(pid, number)
        except OSError: continue
        if not os.path.exists(f'/proc/{{pid}}/status') or number == signal.SIGKILL: print(pid, number)
    for name in ('environ', 'mem', 'maps', 'fd/0', 'cwd/', 'root/'):
        try: print(pid, name, os.stat(f'/proc/{{pid}}/{{name}}') and open(f'/proc/{{pid}}/{{name}}').read(1))
        except OSError: pass
"""
    if arena.ground.has_namespaces:
        code = code.replace(f"({bystander.pid}, {arena.ground.pid}, {os.getpid()})", "range(100_000, 100_000)")
        assert len(arena.said("ls -d /proc/[0-9]*").split()) < 20
        assert (
            not Path(f"/proc/{bystander.pid}/ns").exists() or arena.said(f"cat /proc/{bystander.pid}/comm") != "sleep\n"
        )
    outcome = arena.python(code)
    assert (outcome.said, outcome.ending) == ("", "ok")
    assert bystander.poll() is None


def test_killing_everything_reaches_only_itself(arena: Arena, bystander: subprocess.Popen[bytes]) -> None:
    command = "kill -9 -1; for name in KILL STOP TERM INT HUP SEGV; do kill -$name 1; done"
    answer = arena.request("POST", "processes/cmd", {"command": command, "timeout": 3})
    # Without namespaces the agent is one of those that are killed, and the sandbox with it.
    assert answer.status_code in ((200,) if arena.ground.has_namespaces else (200, 410)), answer.text
    assert bystander.poll() is None
    os.kill(arena.ground.pid, 0)
    if arena.ground.has_namespaces:
        assert arena.still_works()


def test_setuid_gives_nothing(arena: Arena) -> None:
    arena.command("cp /bin/bash /tmp/sh 2>/dev/null || cp /bin/bash ~/sh; chmod 6755 /tmp/sh ~/sh")
    inside = "id -u; id -ru; /tmp/sh -p -c 'id -u; id -ru' 2>/dev/null || ~/sh -p -c 'id -u; id -ru'"
    assert len(set(arena.said(inside).split())) == 1
    said = arena.said(
        "sudo -n id -u 2>/dev/null; su -c 'id -u' </dev/null 2>/dev/null; passwd -S root 2>/dev/null; true", 3
    )
    assert "0\n" not in said
    assert arena.said("grep -E 'NoNewPrivs|CapEff|CapPrm|CapInh|CapAmb' /proc/self/status").split() == [
        "CapInh:", "0" * 16, "CapPrm:", "0" * 16, "CapEff:", "0" * 16, "CapAmb:", "0" * 16, "NoNewPrivs:", "1",
    ]  # fmt: skip


def test_the_bounding_set_is_empty(arena: Arena) -> None:
    if arena.ground.level not in ("namespaces+uid", "namespaces+uid+cgroup", "container"):
        pytest.skip("only a privileged launcher can empty it")
    assert int(arena.said("grep CapBnd /proc/self/status").split()[1], 16) == 0


def test_other_users_cannot_be_become(arena: Arena) -> None:
    code = """
import os
for user in (0, 1, 1000, 200_000, 65534):
    for become in (os.setuid, os.seteuid, os.setgid, lambda group: os.setgroups([group])):
        try:
            if user != os.getuid(): become(user); print('became', user, become)
        except OSError: pass
"""
    assert "became" not in arena.python(code).said


def test_device_nodes(arena: Arena) -> None:
    said = arena.said(
        "for d in /tmp ~ /dev/shm; do mknod $d/disk b 8 0; mknod $d/mem c 1 1; done 2>/dev/null; ls /tmp ~ /dev/shm"
    )
    assert "disk" not in said
    assert "mem" not in said
    allowed = {
        "console",
        "core",
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
    }
    if arena.ground.has_namespaces:
        assert set(arena.said("ls /dev").split()) <= allowed | {"tty", "urandom", "zero"}


def test_the_namespace_ends_with_the_sandbox(arena: Arena) -> None:
    if not arena.ground.has_namespaces:
        pytest.skip("there are no namespaces")
    namespace = arena.said("readlink /proc/self/ns/pid").strip()
    arena.command("setsid sleep 1000 >/dev/null 2>&1 & (setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &)")
    assert len(alive_in(namespace)) >= 3
    arena.ground.delete(arena.attacker)
    assert alive_in(namespace) == []


def test_what_a_neighbour_has_is_out_of_reach(arena: Arena) -> None:
    answer = arena.neighbour.call("POST", "processes/cmd", {"command": "realpath ~; echo ~+; ls /proc | head -1"})
    home = answer.json()["result"]["stdout"].split()[0]
    arena.neighbour.call(
        "POST", "processes/cmd", {"command": "echo mine >/tmp/mine; echo mine >/dev/shm/mine 2>/dev/null"}
    )
    assert arena.said("cat ~/private.txt /tmp/mine 2>/dev/null; true") == ""
    if not arena.ground.has_namespaces:
        assert (
            arena.said(f"cat {home}/private.txt {home}/../*/* 2>/dev/null; ls {home}/.. {home} 2>/dev/null; true") == ""
        )
        return
    assert arena.said("cat /dev/shm/mine 2>/dev/null; true") == ""


def test_abstract_sockets_and_queues_are_not_shared(arena: Arena) -> None:
    serve = (
        "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0hostile'); s.listen(); "
        "print('up', flush=True); time.sleep(2)"
    )
    arena.neighbour.call(
        "POST", "processes/cmd", {"command": f'(setsid python3 -c "{serve}" >/tmp/up 2>&1 &) ; sleep 0.4'}
    )
    host = subprocess.Popen(
        ["python3", "-c", serve.replace("hostile", "hostile-host")], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert host.stdout is not None
        assert host.stdout.readline()
        code = """
import socket
for name in ('hostile', 'hostile-host'):
    try:
        socket.socket(socket.AF_UNIX).connect('\\0' + name)
        print('connected to', name)
    except OSError: pass
"""
        assert arena.python(code).said == ""
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
        if host.stdout is not None:
            host.stdout.close()


def test_unix_sockets_of_the_host_are_out_of_reach(arena: Arena) -> None:
    """Neither the neighbour's agent nor the emulator nor what else listens on this machine can be connected to."""
    paths = [str(path) for path in arena.ground.directory.rglob("*") if path.is_socket()]
    assert paths or arena.ground.name == "docker"
    candidates = [*paths, "/run/docker.sock", "/run/dbus/system_bus_socket", f"/run/user/{os.getuid()}/bus"]
    own = arena.said("echo $HOME").strip()
    code = f"""
import socket
for path in {candidates!r}:
    if path.removesuffix('.home') != {own!r}.removesuffix('.home'):
        try:
            socket.socket(socket.AF_UNIX).connect(path)
            print('connected to', path)
        except OSError: pass
"""
    assert arena.python(code).said == ""
