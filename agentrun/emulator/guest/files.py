"""Files and folders: reading, writing, listing and changing them, safe for any bytes."""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from agentrun.emulator.guest.errors import BadRequest, Conflict, NotFound, TooLarge, from_os_error

MAX_READ = 100 * 1024 * 1024
DEFAULT_FILE_MODE = "644"
DEFAULT_FOLDER_MODE = "0755"
ENCODINGS = ("utf-8", "utf8", "base64")


def read(path: Path) -> dict[str, Any]:
    """The content, as text when it is UTF-8 and as base64 otherwise; TooLarge above 100 MiB."""
    with _explained(path):
        size = path.stat().st_size
        if size > MAX_READ:
            raise TooLarge(f"{path} has {size} bytes: above {MAX_READ} use GET /filesystem/download")
        data = path.read_bytes()
    try:
        content, encoding = data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        content, encoding = base64.b64encode(data).decode(), "base64"
    described = {"name": path.name, "type": "file", "path": str(path), "size": len(data)}
    return {**described, "content": content, "encoding": encoding}


def write(path: Path, content: str, *, mode: str, encoding: str, create_folder: bool) -> dict[str, Any]:
    """Replace the file's content and set its mode."""
    data = _decode(content, encoding)
    bits = parse_mode(mode)
    prepare_folder(path, create=create_folder)
    with _explained(path):
        path.write_bytes(data)
        path.chmod(bits)
    return {"path": str(path), "size": len(data)}


def check_file(path: Path) -> None:
    """Refuse what cannot be read as a file."""
    with _explained(path), path.open("rb"):
        return


def prepare_folder(path: Path, *, create: bool = True) -> None:
    """Make sure that the folder of a file exists."""
    if create:
        with _explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():
        raise NotFound(f"the folder {path.parent} does not exist: make it or send createDir=true")


def entry(path: Path) -> dict[str, Any]:
    """What is known about one file or folder; a link is described by what it points to, a broken one by itself."""
    with _explained(path):
        facts = path.stat() if path.exists() else path.lstat()
    changed = datetime.datetime.fromtimestamp(facts.st_mtime, datetime.timezone.utc)
    return {
        "name": path.name,
        "type": "directory" if stat.S_ISDIR(facts.st_mode) else "file",
        "path": str(path),
        "size": facts.st_size,
        "mode": f"{stat.S_IMODE(facts.st_mode):04o}",
        "permissions": stat.filemode(facts.st_mode),
        "owner": _user_name(facts.st_uid),
        "group": _group_name(facts.st_gid),
        "modifiedTime": changed.isoformat(),
    }


def listing(path: Path, depth: int) -> dict[str, Any]:
    """The entries of a folder, sorted, `depth` levels deep."""
    with _explained(path):
        found = [entry(child) for child in _descend(path, depth)]
    return {"path": str(path), "entries": found}


def make_folder(path: Path, *, parents: bool, mode: str) -> None:
    """Make a folder; one that exists already is fine."""
    bits = parse_mode(mode)
    with _explained(path):
        if not path.is_dir():
            path.mkdir(parents=parents)
            path.chmod(bits)


def move(source: Path, destination: Path) -> None:
    """Move or rename; into the destination when that is a folder."""
    if not os.path.lexists(source):
        raise NotFound(f"{source} does not exist")
    with _explained(destination):
        try:
            shutil.move(source, destination)
        except shutil.Error as error:
            raise Conflict(str(error)) from None


def remove(path: Path) -> None:
    """Remove a file or a folder with everything in it; removing what is not there is fine."""
    with _explained(path), contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def parse_mode(mode: str) -> int:
    """Permission bits from octal digits such as 644 or 0755."""
    try:
        bits = int(mode, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o7777:
        raise BadRequest(f"the mode {mode!r} is not octal permission digits such as '644'")
    return bits


def _descend(path: Path, depth: int) -> Iterator[Path]:
    for child in sorted(path.iterdir()):
        yield child
        if depth > 1 and child.is_dir() and not child.is_symlink():
            with contextlib.suppress(PermissionError):
                yield from _descend(child, depth - 1)


def _decode(content: str, encoding: str) -> bytes:
    if encoding.lower() not in ENCODINGS:
        raise BadRequest(f"unknown encoding {encoding!r}: use utf-8 or base64")
    try:
        return base64.b64decode(content, validate=True) if encoding.lower() == "base64" else content.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadRequest(f"the content is not valid {encoding}: {error}") from None


@contextlib.contextmanager
def _explained(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise from_os_error(error, str(error.filename or path)) from None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
