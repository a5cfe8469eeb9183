"""The system call filter of a sandbox: what is not on the list is refused with an error, and nothing is killed.

The filter is a program for the kernel's packet filter (classic BPF), built here from nested tests:
`compile_filter()` once, `install(program)` in each child. A test has two outcomes, both programs that end in an
answer, so nothing has to be patched or jumped back to. Calls are found by halving their numbers, eight tests deep;
the kernel notes those that are allowed whatever their arguments are and does not run the program for them again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from agentrun.emulator.launcher import kernel, syscalls

# Flags of install().
SECCOMP_FILTER_FLAG_TSYNC: Final = 1 << 0
SECCOMP_FILTER_FLAG_LOG: Final = 1 << 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW: Final = 1 << 2
SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 1 << 3

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine, -1)  # There is no function of libc for it.
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_RET_ERRNO: Final = 0x00050000
_SECCOMP_RET_ALLOW: Final = 0x7FFF0000

_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP: Final = 0x05
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_JUMP_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_FARTHEST_CONDITIONAL_JUMP: Final = 255

# Where `struct seccomp_data` has its fields; of an argument the lower half, which is all the kernel looks at in the
# arguments tested here (both machines are little-endian).
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16
_ARGUMENT_BYTES: Final = 8

_AUDIT_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_NEW_NAMESPACES: Final = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWCGROUP
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
)
_DEVICE_MODE_BIT: Final = 0x2000  # In S_IFCHR and S_IFBLK; not in those of files, FIFOs and sockets.

# Linux; Linux for 32-bit machines; either with the version called 2.6; without address randomization; only ask.
_PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)

# Type keys for a terminal (TIOCSTI, TIOCLINUX), or load a line discipline into the kernel (TIOCSETD).
_TERMINAL_REQUESTS: Final = (0x5412, 0x541C, 0x5423)

_AF_UNIX: Final = 1
_AF_INET: Final = 2
_AF_INET6: Final = 10
_AF_NETLINK: Final = 16
_SOCKET_TYPE_MASK: Final = 0xF
_SOCK_STREAM: Final = 1
_SOCK_DGRAM: Final = 2
_SOCK_RAW: Final = 3
_SOCK_SEQPACKET: Final = 5
_NETLINK_ROUTE: Final = 0
# Any, ICMP, TCP, UDP, ICMPv6. Multipath TCP and its like would go past rules that are about TCP.
_INTERNET_PROTOCOLS: Final = (0, 1, 6, 17, 58)


class Instruction(NamedTuple):
    """One instruction: what to do, how many to skip when its test is true or false, and its operand."""

    code: int
    skip_if_true: int
    skip_if_false: int
    operand: int


Program = Sequence[Instruction]


class _Encoded(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def compile_filter(machine: str | None = None, *, sockets: bool = True) -> bytes:
    """Return the filter for `machine` (this one, or one of `syscalls.MACHINES`) as `install` takes it.

    Without `sockets` none can be made but pairs: for where no network namespace keeps them from the host's network.
    """
    machine = machine or syscalls.machine()
    by_number = _search(_spans(_answers(machine, sockets)))
    ours = _AUDIT_ARCHITECTURES[machine]
    other = _refuse(errno.ENOSYS)  # 32-bit calls, which have other numbers.
    program = [*_load(_ARCHITECTURE), *_when(_JUMP_IF_EQUAL, ours, [*_load(_NUMBER), *by_number], other)]
    compiled = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    _encoded(compiled)
    return compiled


def install(program: bytes, flags: int = 0) -> int:
    """Filter this process's system calls with `program` for good; children inherit it. Sets no_new_privs.

    `flags` are SECCOMP_FILTER_FLAG_*; the result is the listener's descriptor with NEW_LISTENER, otherwise 0.
    """
    kernel.set_no_new_privileges()
    address = ctypes.addressof(_encoded(program))
    return kernel.system_call("seccomp filter", _SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, address)


@cache
def _encoded(program: bytes) -> _Encoded:
    """Return what the kernel takes; made before the fork, because a child pays for every page it writes to."""
    return _Encoded(len(program) // 8, program)


def _answers(machine: str, sockets: bool) -> dict[int, Program]:
    """Return what each known system call is answered; the others are answered as if the kernel did not know them."""
    allowed, tested = syscalls.allowed(), _tested(sockets)
    return {
        number: tested.get(name) or (_allow() if name in allowed else _refusal(name))
        for name, number in syscalls.numbers(machine).items()
    }


def _tested(sockets: bool) -> Mapping[str, Program]:
    """Return the programs of the calls that are allowed with some arguments only."""
    return {
        "clone": [*_argument(0), *_when(_JUMP_IF_ANY_BIT, _NEW_NAMESPACES, _refuse(), _allow())],
        "ioctl": [*_argument(1), *_among(_TERMINAL_REQUESTS, _refuse(), _allow())],
        "mknod": [*_argument(1), *_when(_JUMP_IF_ANY_BIT, _DEVICE_MODE_BIT, _refuse(), _allow())],
        "mknodat": [*_argument(2), *_when(_JUMP_IF_ANY_BIT, _DEVICE_MODE_BIT, _refuse(), _allow())],
        "personality": [*_argument(0), *_among(_PERSONALITIES, _allow(), _refuse())],
        # The error of a kernel built without the family, which programs know how to do without.
        "socket": _socket() if sockets else _refuse(errno.EAFNOSUPPORT),
        "socketpair": [*_argument(0), *_among([_AF_UNIX], _allow(), _refuse(errno.EAFNOSUPPORT))],
    }


def _socket() -> Program:
    ordinary = _socket_type([_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET], _allow())
    protocol = [*_argument(2), *_among(_INTERNET_PROTOCOLS, _allow(), _refuse(errno.EPROTONOSUPPORT))]
    internet = _socket_type([_SOCK_STREAM, _SOCK_DGRAM], protocol)
    route = [*_argument(2), *_among([_NETLINK_ROUTE], _allow(), _refuse(errno.EPROTONOSUPPORT))]
    netlink = _socket_type([_SOCK_RAW, _SOCK_DGRAM], route)
    family = _among([_AF_NETLINK], netlink, _refuse(errno.EAFNOSUPPORT))
    family = _among([_AF_INET, _AF_INET6], internet, family)
    return [*_argument(0), *_among([_AF_UNIX], ordinary, family)]


def _socket_type(types: Iterable[int], then: Program) -> Program:
    """Return `then` for these types, with or without SOCK_CLOEXEC and SOCK_NONBLOCK, which share the argument."""
    return [*_argument(1), Instruction(_AND, 0, 0, _SOCKET_TYPE_MASK), *_among(types, then, _refuse())]


def _refusal(name: str) -> Program:
    return _refuse(errno.ENOSYS if name in syscalls.PROBED else errno.EPERM)


def _spans(answers: Mapping[int, Program]) -> list[tuple[int, Program]]:
    """Return the answer from each number on where it changes, in order.

    Numbers that are not known are answered ENOSYS; so are those above, of newer calls and of the x32 ones.
    """
    spans: list[tuple[int, Program]] = []
    for number in range(max(answers) + 2):
        answer = answers.get(number, _refuse(errno.ENOSYS))
        if not spans or answer != spans[-1][1]:
            spans.append((number, answer))
    return spans


def _search(spans: Sequence[tuple[int, Program]]) -> Program:
    """Return the program that finds the answer for the loaded number among `spans` by halving."""
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    return _when(_JUMP_IF_AT_LEAST, spans[middle][0], _search(spans[middle:]), _search(spans[:middle]))


def _among(values: Iterable[int], then: Program, otherwise: Program) -> Program:
    """Return `then` for a loaded value equal to one of `values`, else `otherwise`."""
    *others, last = values
    # One that is equal skips the tests after it, to where `then` begins.
    tests = [Instruction(_JUMP_IF_EQUAL, len(others) - index, 0, value) for index, value in enumerate(others)]
    return [*tests, *_when(_JUMP_IF_EQUAL, last, then, otherwise)]


def _when(test: int, operand: int, then: Program, otherwise: Program) -> Program:
    """Return `then` if the loaded value passes the test, else `otherwise`."""
    if len(then) <= _FARTHEST_CONDITIONAL_JUMP:
        return [Instruction(test, 0, len(then), operand), *then, *otherwise]
    return [Instruction(test, 1, 0, operand), Instruction(_JUMP, 0, 0, len(then)), *then, *otherwise]


def _load(offset: int) -> Program:
    return [Instruction(_LOAD_WORD, 0, 0, offset)]


def _argument(index: int) -> Program:
    return _load(_FIRST_ARGUMENT + index * _ARGUMENT_BYTES)


def _allow() -> Program:
    return [Instruction(_RETURN, 0, 0, _SECCOMP_RET_ALLOW)]


def _refuse(number: int = errno.EPERM) -> Program:
    return [Instruction(_RETURN, 0, 0, _SECCOMP_RET_ERRNO | number)]
