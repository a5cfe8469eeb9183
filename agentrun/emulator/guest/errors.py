"""What goes wrong inside a sandbox, as users read it."""

from __future__ import annotations

import errno


class GuestError(Exception):
    """A refused request: HTTP status, `ERR_...` code and a text that says what to do."""

    status = 400
    code = "ERR_BAD_REQUEST"


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
    """The state of a file or folder is in the way."""

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


def from_os_error(error: OSError, path: str) -> GuestError:
    """The refusal that tells which path and why."""
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{path} does not exist")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return Forbidden(f"{path}: permission denied; the sandbox's user can write below its home folder and /tmp")
    if isinstance(error, FileExistsError):
        return Conflict(f"{path} already exists")
    if isinstance(error, IsADirectoryError):
        return BadRequest(f"{path} is a directory, not a file")
    if isinstance(error, NotADirectoryError):
        return BadRequest(f"{path} is not a directory")
    return Conflict(f"{path}: {error.strerror or error}")
