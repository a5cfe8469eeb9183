"""Landlock: the file, port and signal rights a process gives up by itself, without being root.

The kernel checks file rights by folder, whatever mount namespace the folder was opened in, so the descriptors of what
all sandboxes may read are opened once, before any fork. What a kernel is too old for is left out and named.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from agentrun.emulator.launcher import kernel

# libc has no functions for these; the numbers are the same on x86_64 and aarch64.
_SYS_CREATE_RULESET: Final = 444
_SYS_ADD_RULE: Final = 445
_SYS_RESTRICT_SELF: Final = 446
_ASK_FOR_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_MAKE_CHAR: Final = 1 << 6
_MAKE_BLOCK: Final = 1 << 11
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_IOCTL_DEV: Final = 1 << 15

_OF_VERSION_1: Final = (1 << 13) - 1
_ADDED_RIGHTS: Final = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_TCP_SINCE: Final = 4
_SCOPES_SINCE: Final = 6
_TCP_BIND_AND_CONNECT: Final = 3
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3

_ON_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # The others are refused for them.
_READABLE: Final = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE: Final = _WRITE_FILE | _READ_FILE | _READ_DIR | _TRUNCATE | _IOCTL_DEV
_WRITABLE: Final = ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)  # A device made there would be one of the host.

_MISSING_BEFORE: Final = (
    (2, "landlock renames between folders"),
    (3, "landlock truncation"),
    (_TCP_SINCE, "landlock tcp ports"),
    (5, "landlock device requests"),
    (_SCOPES_SINCE, "landlock scopes of signals and abstract sockets"),
)


class Rule(NamedTuple):
    """An open file or folder, and the kernel's form of the rights there and below."""

    descriptor: int
    request: ctypes.Array[ctypes.c_char]


@cache
def abi() -> int:
    """Return the version of Landlock in this kernel, 0 when it has none or must not use it."""
    try:
        return kernel.system_call("landlock version", _SYS_CREATE_RULESET, 0, 0, _ASK_FOR_VERSION)
    except OSError:
        return 0


def missing(version: int | None = None) -> tuple[str, ...]:
    """Name what a kernel with this version of Landlock (default: this kernel) cannot restrict, or refuses always."""
    version = abi() if version is None else version
    if version == 0:
        return ("landlock",)
    return tuple(name for since, name in _MISSING_BEFORE if version < since)


class Ruleset:
    """The rights that all sandboxes share, opened in the parent; each child adds its own and gives up the rest."""

    def __init__(
        self, *, readable: Iterable[str] = (), writable: Iterable[str] = (), devices: Iterable[str] = ()
    ) -> None:
        """Open the paths; OSError names one that is not there. The arguments mean the same as those of `restrict`."""
        self._rules: list[Rule] = []
        try:
            for path, rights in _wanted(readable, writable, devices):
                self._rules.append(_opened(path, rights))
        except OSError:
            self.close()
            raise

    @property
    def descriptors(self) -> frozenset[int]:
        """The open descriptors (close-on-exec), for a child that closes all others before it calls `restrict`."""
        return frozenset(rule.descriptor for rule in self._rules)

    def restrict(
        self,
        *,
        readable: Iterable[str] = (),
        writable: Iterable[str] = (),
        devices: Iterable[str] = (),
        network: bool = True,
        scoped: bool = False,
    ) -> tuple[str, ...]:
        """Give up, for this thread and all its children for good, every right that is not named; return `missing()`.

        Below `readable` paths files can be read and executed, below `writable` ones everything is allowed but making
        devices, `devices` can be read, written and sent requests. Without `network` no TCP port can be bound or
        connected to. `scoped` confines signals and abstract unix sockets to processes that inherit this very
        restriction: not even a process that restricted itself in the same way can be reached.
        Sets no_new_privs, and forbids mounting. Does nothing where there is no Landlock.
        """
        if abi() == 0:
            return missing()
        ruleset = _created(network=network, scoped=scoped)
        try:
            for rule in self._rules:
                _add(ruleset, rule)
            for path, rights in _wanted(readable, writable, devices):
                _add_and_close(ruleset, _opened(path, rights))
            kernel.set_no_new_privileges()
            kernel.system_call("landlock_restrict_self", _SYS_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)
        return missing()

    def close(self) -> None:
        """Close the descriptors; those of processes that were forked stay open."""
        while self._rules:
            os.close(self._rules.pop().descriptor)


@cache
def _handled() -> int:
    """Return the file rights that this kernel knows, all of which are given up unless a rule says otherwise."""
    return _OF_VERSION_1 | sum(right for since, right in _ADDED_RIGHTS if abi() >= since)


def _created(*, network: bool, scoped: bool) -> int:
    ports = 0 if network or abi() < _TCP_SINCE else _TCP_BIND_AND_CONNECT
    scopes = _ABSTRACT_SOCKETS_AND_SIGNALS if scoped and abi() >= _SCOPES_SINCE else 0
    request = ctypes.create_string_buffer(struct.pack("<QQQ", _handled(), ports, scopes), 24)
    address = ctypes.addressof(request)
    return kernel.system_call("landlock_create_ruleset", _SYS_CREATE_RULESET, address, len(request), 0)


def _wanted(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> Iterator[tuple[str, int]]:
    for paths, rights in ((readable, _READABLE), (writable, _WRITABLE), (devices, _DEVICE)):
        for path in paths:
            yield path, rights


def _opened(path: str, rights: int) -> Rule:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    known = rights & _handled()
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        known &= _ON_FILES
    return Rule(descriptor, ctypes.create_string_buffer(struct.pack("<Qi", known, descriptor), 12))


def _add(ruleset: int, rule: Rule) -> None:
    address = ctypes.addressof(rule.request)
    kernel.system_call("landlock_add_rule", _SYS_ADD_RULE, ruleset, _PATH_BENEATH, address, 0)


def _add_and_close(ruleset: int, rule: Rule) -> None:
    try:
        _add(ruleset, rule)
    finally:
        os.close(rule.descriptor)
