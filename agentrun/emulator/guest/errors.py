"""What goes wrong inside a sandbox, as users read it."""

from __future__ import annotations

import errno
from collections.abc import Mapping


class GuestError(Exception):
    """A refused request: HTTP status, `ERR_...` code and a text that says what to do."""

    status = 400
    code = "ERR_BAD_REQUEST"
    headers: Mapping[str, str] | None = None


class BadRequest(GuestError):
    """The request cannot be understood."""


class NotFound(GuestError):
    """What the request names does not exist."""

    status = 404
    code = "ERR_NOT_FOUND"


class Forbidden(GuestError):
    """The sandbox's user may not do that."""

    status = 403
    code = "ERR_FORBIDDEN"


class Conflict(GuestError):
    """The state of a file, folder or process is in the way."""

    status = 409
    code = "ERR_CONFLICT"


class TooLarge(GuestError):
    """More than one answer can carry."""

    status = 413
    code = "ERR_TOO_LARGE"


class Unavailable(GuestError):
    """Something this image lacks."""

    status = 501
    code = "ERR_NOT_AVAILABLE"


class Exhausted(GuestError):
    """The sandbox is at one of its limits."""

    status = 503
    code = "ERR_LIMIT_REACHED"


class NoSpace(GuestError):
    """The sandbox's disk is full, or a file would be larger than a file may be."""

    status = 507
    code = "ERR_NO_SPACE"


_BY_NUMBER: dict[int, tuple[type[GuestError], str]] = {
    errno.ENOENT: (NotFound, "does not exist"),
    errno.EEXIST: (Conflict, "already exists"),
    errno.EISDIR: (BadRequest, "is a directory, not a file"),
    errno.ENOTDIR: (BadRequest, "is not a directory, or a part of the path is not"),
    errno.ENXIO: (BadRequest, "is a pipe, a socket or a device, not a regular file: use a command to write to it"),
    errno.ELOOP: (BadRequest, "goes through too many symbolic links: they may form a loop"),
    errno.ENAMETOOLONG: (BadRequest, "is too long: a name may have 255 bytes and a path 4096"),
    errno.EINVAL: (BadRequest, "is not possible for this operation"),
    errno.ENOTEMPTY: (Conflict, "is a directory that is not empty"),
    errno.ETXTBSY: (Conflict, "is a program that runs right now"),
    errno.ENOSPC: (NoSpace, "does not fit: the sandbox's disk is full, remove files first"),
    errno.EDQUOT: (NoSpace, "does not fit: the sandbox's disk is full, remove files first"),
    errno.EFBIG: (NoSpace, "does not fit: it is larger than a file of this sandbox may be"),
    errno.EMFILE: (Exhausted, "cannot be opened: the sandbox has too many open files"),
    errno.ENFILE: (Exhausted, "cannot be opened: the machine has too many open files"),
}


def from_os_error(error: OSError, path: str) -> GuestError:
    """The refusal that tells which path and why."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Forbidden(f"{path}: permission denied; the sandbox's user can write below its home folder and /tmp")
    kind, text = _BY_NUMBER.get(error.errno or 0, (Conflict, f"cannot be used: {error.strerror or error}"))
    return kind(f"{path} {text}")
