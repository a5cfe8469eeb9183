"""The Linux calls that confine a process, one typed function each; every failure is an OSError saying what was tried.

Importing this opens nothing and changes nothing. The functions are meant for a single-threaded process that has just
been forked: each costs one system call, or as few as the kernel allows. Where the system has no such call (an older
kernel, another operating system) the error is ENOSYS.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NoReturn

CLONE_NEWTIME: Final = 0x00000080
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1 << 0
MS_NOSUID: Final = 1 << 1
MS_NODEV: Final = 1 << 2
MS_NOEXEC: Final = 1 << 3
MS_REMOUNT: Final = 1 << 5
MS_NOSYMFOLLOW: Final = 1 << 8
MS_NOATIME: Final = 1 << 10
MS_BIND: Final = 1 << 12
MS_MOVE: Final = 1 << 13
MS_REC: Final = 1 << 14
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MS_RELATIME: Final = 1 << 21
MS_STRICTATIME: Final = 1 << 24

MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

MOUNT_ATTR_RDONLY: Final = 0x01
MOUNT_ATTR_NOSUID: Final = 0x02
MOUNT_ATTR_NODEV: Final = 0x04
MOUNT_ATTR_NOEXEC: Final = 0x08

HUGE_PAGE_BYTES: Final = 2 << 20

# libc has no function for these in every version we run on; the numbers are the same on x86_64 and aarch64.
_SYS_PIDFD_SEND_SIGNAL: Final = 424
_SYS_PIDFD_OPEN: Final = 434
_SYS_CLOSE_RANGE: Final = 436
_SYS_MOUNT_SETATTR: Final = 442

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_CAPABILITY_VERSION: Final = 0x20080522
_HIGHEST_CAPABILITY: Final = 63
_HIGHEST_DESCRIPTOR: Final = 0xFFFFFFFF
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_MADV_POPULATE_WRITE: Final = 23
_MADV_COLLAPSE: Final = 25
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_LOOPBACK_UP: Final = struct.pack("16sH22x", b"lo", _IFF_UP)  # A `struct ifreq`.
_NAMESPACE_NAMES: Final = {
    CLONE_NEWTIME: "CLONE_NEWTIME",
    CLONE_NEWNS: "CLONE_NEWNS",
    CLONE_NEWCGROUP: "CLONE_NEWCGROUP",
    CLONE_NEWUTS: "CLONE_NEWUTS",
    CLONE_NEWIPC: "CLONE_NEWIPC",
    CLONE_NEWUSER: "CLONE_NEWUSER",
    CLONE_NEWPID: "CLONE_NEWPID",
    CLONE_NEWNET: "CLONE_NEWNET",
}

_LIBRARY: Final = ctypes.CDLL(None, use_errno=True)


def _absent(*_arguments: object) -> int:
    ctypes.set_errno(errno.ENOSYS)
    return -1


def _function(name: str, *argument_types: type, result: type = ctypes.c_int) -> Callable[..., int]:
    """Return the C function, or a stand-in that fails with ENOSYS where the system has none."""
    try:
        function = _LIBRARY[name]  # Unlike an attribute, its own object: nobody else's argument types are touched.
    except AttributeError:
        return _absent
    function.argtypes = argument_types
    function.restype = result
    return function


_SIZE: Final = ctypes.c_size_t
_TEXT: Final = ctypes.c_char_p
_WORD: Final = ctypes.c_ulong
_capset = _function("capset", ctypes.c_void_p, ctypes.c_void_p)
_madvise = _function("madvise", ctypes.c_void_p, _SIZE, ctypes.c_int)
_mount = _function("mount", _TEXT, _TEXT, _TEXT, _WORD, _TEXT)
_pivot_root = _function("pivot_root", _TEXT, _TEXT)
_prctl = _function("prctl", ctypes.c_int, _WORD, _WORD, _WORD, _WORD)
_sethostname = _function("sethostname", _TEXT, _SIZE)
_setns = _function("setns", ctypes.c_int, ctypes.c_int)
_syscall = _function("syscall", *(ctypes.c_long,) * 7, result=ctypes.c_long)
_umount2 = _function("umount2", _TEXT, ctypes.c_int)
_unshare = _function("unshare", ctypes.c_int)

_CAPABILITY_HEADER: Final = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION, 0))
_NO_CAPABILITIES: Final = ctypes.create_string_buffer(24)


def system_call(what: str, number: int, *arguments: int) -> int:
    """Make system call `number`; OSError begins with `what`."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    return _checked(_syscall(number, *padded), what)


def prctl(what: str, option: int, *arguments: int) -> int:
    """Call prctl; OSError begins with `what`."""
    padded = (*arguments, *(0,) * (4 - len(arguments)))
    return _checked(_prctl(option, *padded), what)


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` (CLONE_NEW*) for fresh ones; a fresh CLONE_NEWPID is for the next child."""
    _checked(_unshare(flags), "unshare", flags)


def setns(descriptor: int, flags: int = 0) -> None:
    """Join the namespace open as `descriptor`, or with a pidfd all namespaces in `flags` of that process at once."""
    _checked(_setns(descriptor, flags), f"setns to descriptor {descriptor}", flags)


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """Mount a `kind` of file system, or bind, remount or change propagation as `flags` (MS_*) say."""
    result = _mount(_encoded(source), os.fsencode(target), _encoded(kind), flags, _encoded(options))
    if result < 0:
        _fail(f"mount {kind or source or ''} at {target} with flags {flags:#x}, options {options!r}")


def umount2(target: str, flags: int = 0) -> None:
    """Unmount what is at `target`; with MNT_DETACH also while it is in use."""
    _checked(_umount2(os.fsencode(target), flags), f"umount {target}")


def set_mount_attributes(target: str, attributes: int, *, recursive: bool = True) -> None:
    """Add `attributes` (MOUNT_ATTR_*) to the mount at `target` and, unlike a remount, to those below it."""
    request = ctypes.create_string_buffer(struct.pack("<QQQQ", attributes, 0, 0, 0), 32)
    path = ctypes.create_string_buffer(os.fsencode(target))
    flags = _AT_RECURSIVE if recursive else 0
    addresses = ctypes.addressof(path), flags, ctypes.addressof(request), len(request)
    system_call(f"mount_setattr {target} with {attributes:#x}", _SYS_MOUNT_SETATTR, _AT_FDCWD, *addresses)


def pivot_root(new_root: str, old_root: str) -> None:
    """Make `new_root` (a mount point) the root, and move the one before to `old_root` below it."""
    _checked(_pivot_root(os.fsencode(new_root), os.fsencode(old_root)), f"pivot_root to {new_root}, old at {old_root}")


def set_parent_death_signal(number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process `number` when the thread that forked it ends; a change of uid clears it."""
    prctl("prctl(PR_SET_PDEATHSIG)", _PR_SET_PDEATHSIG, number)


def set_no_new_privileges() -> None:
    """Give up for good, children included, to gain anything by executing a set-uid or privileged file."""
    prctl("prctl(PR_SET_NO_NEW_PRIVS)", _PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:
    """Say whether processes of the same user may trace this one and read its memory and descriptors."""
    prctl("prctl(PR_SET_DUMPABLE)", _PR_SET_DUMPABLE, int(dumpable))


def set_child_subreaper(enabled: bool = True) -> None:
    """Say whether orphaned descendants become children of this process."""
    prctl("prctl(PR_SET_CHILD_SUBREAPER)", _PR_SET_CHILD_SUBREAPER, int(enabled))


def drop_capabilities() -> None:
    """Give up every capability: bounding set (where allowed), ambient, inheritable, permitted and effective."""
    drop_bounding_set()
    drop_own_capabilities()


def drop_own_capabilities() -> None:
    """Give up every capability that this process has: ambient, inheritable, permitted and effective."""
    if _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 and ctypes.get_errno() != errno.EINVAL:
        _fail("prctl(PR_CAP_AMBIENT_CLEAR_ALL)")
    _checked(_capset(ctypes.addressof(_CAPABILITY_HEADER), ctypes.addressof(_NO_CAPABILITIES)), "capset to nothing")


def drop_bounding_set() -> None:
    """Let no program that is executed gain a capability; only a process that may, so before it changes its user."""
    for capability in range(_HIGHEST_CAPABILITY + 1):
        if _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # EINVAL: this kernel knows no more of them; EPERM: only CAP_SETPCAP may, and it would be the same.


def close_descriptors_except(kept: Iterable[int]) -> None:
    """Close every open descriptor that is not in `kept`, whatever this process may have inherited."""
    for first, last in _gaps(sorted(set(kept))):
        try:
            system_call(f"close_range {first} to {last}", _SYS_CLOSE_RANGE, first, last, 0)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            _close_one_by_one(first, last)


def set_hostname(name: str) -> None:
    """Name the machine, as seen in this UTS namespace."""
    encoded = name.encode()
    _checked(_sethostname(encoded, len(encoded)), f"sethostname {name!r}")


def bring_loopback_up() -> None:
    """Bring the `lo` interface of this network namespace up, which gives it 127.0.0.1 and ::1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _LOOPBACK_UP)


def pidfd_open(pid: int, flags: int = 0) -> int:
    """Return a descriptor (close-on-exec) of the process, readable once it has ended."""
    return system_call(f"pidfd_open {pid}", _SYS_PIDFD_OPEN, pid, flags)


def pidfd_send_signal(descriptor: int, number: int) -> None:
    """Send signal `number` to the process behind a pidfd: never to another that got its pid later."""
    system_call(f"pidfd_send_signal {number}", _SYS_PIDFD_SEND_SIGNAL, descriptor, number)


def collapse_private_memory() -> int:
    """Gather this process's private anonymous memory in huge pages, so that forks copy fewer page-table entries.

    Returns how many blocks of 2 MiB are huge afterwards: 0 where the kernel (before 6.1) cannot. Needs /proc.
    """
    return sum(_madvise(address, HUGE_PAGE_BYTES, _MADV_COLLAPSE) == 0 for address in _huge_page_candidates())


def populate_for_writing(address: int, length: int) -> None:
    """Let this process have these pages for itself, as if each had been written to."""
    _checked(_madvise(address, length, _MADV_POPULATE_WRITE), "madvise(MADV_POPULATE_WRITE)")


def _huge_page_candidates() -> list[int]:
    """Return the addresses of whole aligned 2 MiB blocks of writable anonymous memory, listed before any changes."""
    found: list[int] = []
    with open("/proc/self/maps") as file:
        lines = file.readlines()
    for line in lines:
        addresses, permissions, _offset, _device, _inode, *name = line.rstrip().split(maxsplit=5)
        if permissions == "rw-p" and (not name or name[0] in ("[heap]", "[anon]") or name[0].startswith("[anon:")):
            start, end = (int(number, 16) for number in addresses.split("-"))
            aligned = (start + HUGE_PAGE_BYTES - 1) & -HUGE_PAGE_BYTES
            found.extend(range(aligned, end - HUGE_PAGE_BYTES + 1, HUGE_PAGE_BYTES))
    return found


def _gaps(kept: list[int]) -> Iterator[tuple[int, int]]:
    first = 0
    for descriptor in kept:
        if descriptor > first:
            yield first, descriptor - 1
        first = descriptor + 1
    yield first, _HIGHEST_DESCRIPTOR


def _close_one_by_one(first: int, last: int) -> None:
    opened = [int(name) for name in os.listdir("/proc/self/fd")]
    for descriptor in opened:
        if first <= descriptor <= last:
            os.closerange(descriptor, descriptor + 1)  # Says nothing about the one that listed them, closed by now.


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _checked(result: int, what: str, namespaces: int = 0) -> int:
    if result < 0:
        _fail(what, namespaces)
    return result


def _fail(what: str, namespaces: int = 0) -> NoReturn:
    number = ctypes.get_errno()
    names = "|".join(name for flag, name in _NAMESPACE_NAMES.items() if namespaces & flag)
    raise OSError(number, f"{what}{names and f' ({names})'}: {os.strerror(number)}")
