"""Where Python's objects are: together, so that a fork has little to copy and little to write to.

Huge pages need two megabytes in a row, and Python's own allocator takes one at a time, wherever there is room between
two libraries. What is in huge pages a fork copies, and its end unmaps, in a fraction of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Generator
from typing import Final

_RAW, _OBJECTS = 0, (1, 2)  # PYMEM_DOMAIN_RAW, _MEM and _OBJ
_LARGEST_GAP, _SMALLEST_GAP = 1 << 17, 24


class _Allocator(ctypes.Structure):
    """PyMemAllocatorEx."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free"))
    context: int | None
    malloc: int
    calloc: int
    realloc: int
    free: int


class _Usage(ctypes.Structure):
    """What mallinfo2 returns: `top` is how much of the heap's end was never used, or is free again."""

    _fields_ = (("others", ctypes.c_size_t * 9), ("top", ctypes.c_size_t))
    top: int


_get: Final = ctypes.pythonapi.PyMem_GetAllocator
_set: Final = ctypes.pythonapi.PyMem_SetAllocator


@contextlib.contextmanager
def in_one_piece() -> Generator[None]:
    """While this lasts objects are made in the C library's heap, which grows in one piece.

    They go on being resized and freed by Python's allocator, which passes on what is not its own.
    """
    raw, normal = _allocator(_RAW), [_allocator(domain) for domain in _OBJECTS]
    for domain, own in zip(_OBJECTS, normal, strict=True):
        _set(domain, ctypes.byref(_Allocator(own.context, raw.malloc, raw.calloc, own.realloc, own.free)))
    try:
        yield
    finally:
        for domain, own in zip(_OBJECTS, normal, strict=True):
            _set(domain, ctypes.byref(own))


def _allocator(domain: int) -> _Allocator:
    found = _Allocator()
    _get(domain, ctypes.byref(found))
    return found


def fill_gaps() -> None:
    """Use up what is free between objects, so that whatever comes is at the end; glibc alone tells where that is."""
    library = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):
        library.mallinfo2.restype = _Usage
        for name in ("malloc", "sbrk"):
            getattr(library, name).restype = ctypes.c_size_t
        library.free.argtypes = library.malloc.argtypes = [ctypes.c_size_t]
        _fill(library)


def _fill(library: ctypes.CDLL) -> None:
    size = _LARGEST_GAP
    while size >= _SMALLEST_GAP:
        end = library.sbrk(0) - library.mallinfo2().top
        while (address := library.malloc(size)) < end:
            pass
        library.free(address)
        size -= max(size // 8 & -16, 16)
