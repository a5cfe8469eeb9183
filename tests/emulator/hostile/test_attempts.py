"""Single attempts that must fail: system calls, kinds of sockets, files of the machine.

A sandbox in which every one fails is as it was before, so all of a ground share one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.emulator.hostile.arena import Arena

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

OF_EVERY_SYSTEM = ("/var/log", "/var/lib")

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


@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_a_system_call_that_could_lead_out(calm: Arena, name: str) -> None:
    said = calm.python(CALLS + SYSTEM_CALLS[name]).said
    assert said in REFUSED, said


def test_no_socket_where_no_network_is_separate(calm: Arena) -> None:
    """Without a network of its own a sandbox would be on the host's: only pairs are left to it."""
    if calm.ground.has_namespaces:
        pytest.skip("the network is separate")
    code = """
import socket, subprocess
for family in range(64):
    for kind in (1, 2, 3, 5):
        try: print(family, socket.socket(family, kind))
        except OSError: pass
ours, theirs = socket.socketpair()
ours.send(b'paired')
print(theirs.recv(10).decode(), subprocess.check_output(['echo', 'piped'], text=True).strip())
"""
    outcome = calm.python(code)
    assert (outcome.said, outcome.ending) == ("paired piped", "ok")
    script = "import socket; socket.socket(socket.AF_UNIX)"
    assert "OSError" in calm.said(f'python3 -c "{script}"')


def test_sockets_of_other_kinds(calm: Arena) -> None:
    code = f"""
import socket
for name, wanted in {SOCKETS!r}.items():
    try:
        socket.socket(*wanted)
        print(name)
    except OSError: pass
"""
    outcome = calm.python(code)
    assert (outcome.said, outcome.ending) == ("", "ok")


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_the_host(calm: Arena, path: str) -> None:
    """Neither code nor a command nor the interface for files gets to see it."""
    if calm.ground.name == "docker" and path in OF_EVERY_SYSTEM:
        # A container has a system of its own: of its image, on another file system than the host's.
        assert int(calm.said(f"stat -c %d {path}")) not in {os.stat(place).st_dev for place in ("/", path)}
        return
    if path.startswith("/run/") and not calm.ground.has_namespaces:
        path = path.rstrip("/") + "/"
    said = calm.said(f"ls {path}/ 2>/dev/null; head -c 20 {path} 2>/dev/null; true")
    assert said == ""
    code = f"""
import os
try: print(os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}, 'rb').read(20))
except OSError: print('no')
"""
    if not (path.startswith("/proc/1/") and calm.ground.has_namespaces):  # There the interpreter may be process 1.
        assert calm.python(code).said in ("no", "b''", "[]")
    assert calm.request("GET", "files", path=path).status_code >= 400
    assert calm.request("GET", "filesystem/download", path=path).status_code >= 400


@pytest.mark.parametrize("path", TARGETS)
def test_a_file_that_must_not_be_written(calm: Arena, path: str) -> None:
    before = Path(path).read_bytes() if path.startswith(("/proc/sys/", "/etc/passwd")) and Path(path).exists() else b""
    code = f"""
import os
try: print('written', os.write(os.open({path!r}, os.O_WRONLY | os.O_CREAT), {TARGETS[path].encode()!r}))
except OSError: print('no')
"""
    assert calm.python(code).said == "no"
    assert calm.request("POST", "files", {"path": path, "content": TARGETS[path]}).status_code >= 400
    if before:
        assert Path(path).read_bytes() == before
