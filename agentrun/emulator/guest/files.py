"""Files: reading, writing and changing them, safe for any bytes and for what only looks like a file."""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO, cast

from agentrun.emulator.guest.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    GuestError,
    NotFound,
    TooLarge,
    from_os_error,
)
from agentrun.emulator.guest.paths import home, shown, shown_name

MAX_READ = 100 * 1024 * 1024
CHUNK = 256 * 1024
DEFAULT_FILE_MODE = "644"
DEFAULT_FOLDER_MODE = "0755"
ENCODINGS = ("utf-8", "utf8", "base64")
# Opening a pipe or a device must not wait for its other side.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_CREAT
# Another file system, a folder that may not be changed, a file that is a mount of its own.
COPY_INSTEAD = (errno.EXDEV, errno.EACCES, errno.EPERM, errno.EBUSY)
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def open_for_reading(path: Path) -> BinaryIO:
    """The regular file; a pipe or a device, which may never end, is refused."""
    with explained(path):
        return cast("BinaryIO", os.fdopen(_regular(os.open(path, READ), path), "rb", buffering=0))


def open_for_writing(path: Path) -> BinaryIO:
    """The regular file, empty; made when there is none. Raises as `open_for_reading`."""
    with explained(path):
        file = os.fdopen(_regular(os.open(path, WRITE, 0o644), path), "wb", buffering=0)
        os.ftruncate(file.fileno(), 0)
        return cast("BinaryIO", file)


def read(path: Path) -> dict[str, Any]:
    """The content, as text when it is UTF-8 and as base64 otherwise; TooLarge above 100 MiB."""
    with open_for_reading(path) as file, explained(path):
        data = _read_bounded(file, path)
    try:
        content, encoding = data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        content, encoding = base64.b64encode(data).decode(), "base64"
    described = {"name": shown_name(path.name), "type": "file", "path": shown(path), "size": len(data)}
    return {**described, "content": content, "encoding": encoding}


def read_or_refusal(path: Path) -> dict[str, Any]:
    """As `read`; what cannot be read is answered with its path and the error."""
    try:
        return read(path)
    except GuestError as error:
        return {"path": shown(path), "error": {"code": error.code, "message": str(error)}}


def write(path: Path, content: str, *, mode: str | None, encoding: str, create_folder: bool) -> dict[str, Any]:
    """Replace the file's content and set its mode; without a mode an existing file keeps its own."""
    data = decode(content, encoding)
    bits = None if mode is None else parse_mode(mode)
    prepare_folder(path, create=create_folder)
    with explained(path), open_for_writing(path) as file:
        _write_all(file.fileno(), data)
        if bits is not None:
            os.fchmod(file.fileno(), bits)
    return {"path": shown(path), "size": len(data)}


class Incoming:
    """A file that is being received: it takes its place when it is complete, and leaves nothing when it is not."""

    def __init__(self, folder: Path) -> None:
        folder = folder if os.access(folder, os.W_OK | os.X_OK) else home()
        with explained(folder):
            self._file, name = tempfile.mkstemp(prefix=".incoming-", dir=folder)
        self._path = Path(name)
        self.size = 0

    @classmethod
    def beside(cls, path: Path) -> Incoming:
        """One that is going to be the file at this path."""
        return cls(Path(os.path.realpath(path)).parent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add to it."""
        with explained(self._path):
            _write_all(self._file, data)
        self.size += len(data)

    def place(self, path: Path, mode: int | None) -> None:
        """Make it the file at this path; without a mode it gets the mode of what it replaces, or 644."""
        target = Path(os.path.realpath(path))
        with explained(path):
            os.fchmod(self._file, _mode_to_be(target, path) if mode is None else mode)
            _check_replaceable(target, path)
            try:
                os.replace(self._path, target)
            except OSError as error:
                if error.errno not in COPY_INSTEAD:
                    raise
                with open(self._path, "rb") as source, open_for_writing(target) as file:
                    shutil.copyfileobj(source, file, CHUNK)

    def close(self) -> None:
        """Remove what has not found its place."""
        os.close(self._file)
        with contextlib.suppress(OSError):
            self._path.unlink()


def prepare_folder(path: Path, *, create: bool = True) -> None:
    """Make sure that the folder of a file exists."""
    if create:
        with explained(path.parent):
            try:
                os.makedirs(path.parent, exist_ok=True)
            except FileExistsError as error:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None
    elif not os.path.isdir(path.parent):
        raise NotFound(f"the folder {shown(path.parent)} does not exist: make it or send createDir=true")


def make_folder(path: Path, *, parents: bool, mode: str) -> None:
    """Make a folder; one that exists already is fine."""
    bits = parse_mode(mode)
    with explained(path):
        if not path.is_dir():
            path.mkdir(parents=parents)
            path.chmod(bits)


def move(source: Path, destination: Path) -> None:
    """Move or rename; into the destination when that is a folder."""
    if not os.path.lexists(source):
        raise NotFound(f"{shown(source)} does not exist")
    with explained(destination):
        try:
            shutil.move(source, destination)
        except shutil.Error as error:
            raise Conflict(str(error)) from None


def remove(path: Path) -> None:
    """Remove a file or a folder with everything in it; removing what is not there is fine."""
    with explained(path), contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def parse_mode(mode: str) -> int:
    """Permission bits from octal digits such as 644 or 0755."""
    if not mode.isascii() or not mode.isdigit() or set(mode) & {"8", "9"} or int(mode, 8) > 0o7777:
        raise BadRequest(f"the mode {mode!r} is not octal permission digits such as '644'")
    return int(mode, 8)


def decode(content: str, encoding: str) -> bytes:
    """The bytes that a text field stands for; BadRequest when it is not what its encoding says."""
    if encoding.lower() not in ENCODINGS:
        raise BadRequest(f"unknown encoding {encoding!r}: use utf-8 or base64")
    try:
        return base64.b64decode(content, validate=True) if encoding.lower() == "base64" else content.encode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the content is not valid {encoding}: {error}") from None


@contextlib.contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn errors of the operating system into refusals that name the path."""
    try:
        yield
    except OSError as error:
        name = error.filename
        raise from_os_error(error, shown(os.fsdecode(name) if name and not isinstance(name, int) else path)) from None
    except RecursionError:
        how = "use a command (POST /processes/cmd) such as rm -r, cp -r or mv"
        raise Conflict(f"{shown(path)} has too many folders inside one another: {how}") from None


def _regular(descriptor: int, path: Path) -> int:
    try:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise BadRequest(f"{shown(path)} is a directory, not a file")
        if not stat.S_ISREG(facts.st_mode):
            raise BadRequest(_not_regular(path, facts.st_mode))
        if facts.st_dev == os.stat("/proc").st_dev and _is_of_agent(descriptor):
            raise Forbidden(f"{shown(path)} belongs to the sandbox itself: /proc has the other processes")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_of_agent(descriptor: int) -> bool:
    """Whether it is about this process: its memory among others, which its own user may write to."""
    return os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"/proc/{os.getpid()}/")


def _not_regular(path: Path, mode: int) -> str:
    kind = KINDS.get(stat.S_IFMT(mode), "special")
    return f"{shown(path)} is {kind}, not a regular file: use a command (POST /processes/cmd) to read or write it"


def _read_bounded(file: BinaryIO, path: Path) -> bytes:
    """Everything; the size is no help, because files of /proc say 0."""
    size = os.fstat(file.fileno()).st_size
    if size > MAX_READ:
        raise TooLarge(f"{shown(path)} has {size} bytes: above {MAX_READ} use GET /filesystem/download")
    pieces: list[bytes] = []
    total = 0
    while data := file.read(max(CHUNK, size + 1 - total)):
        pieces.append(data)
        total += len(data)
        if total > MAX_READ:
            raise TooLarge(f"{shown(path)} has more than {MAX_READ} bytes: use GET /filesystem/download")
    return b"".join(pieces)


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _mode_to_be(target: Path, path: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return parse_mode(DEFAULT_FILE_MODE)
    except OSError as error:
        raise from_os_error(error, shown(path)) from None


def _check_replaceable(target: Path, path: Path) -> None:
    """Renaming over a file asks only about the folder; the file's own protection counts as well."""
    if not target.exists():
        return
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        raise BadRequest(f"{shown(path)} is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise BadRequest(_not_regular(path, mode))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
