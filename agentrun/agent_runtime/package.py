"""A code package: files in one zip archive, which is the same for the same files wherever it is made."""

from __future__ import annotations

import io
import os
import shutil
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from agentrun._core.checksum import crc64
from agentrun.errors import InvalidInputError

MAX_BYTES = 100 * 1024 * 1024
_CHUNK = 1 << 20
_SKIPPED_FOLDERS = ("__pycache__", ".git", ".venv")


@dataclass(frozen=True)
class Package:
    """A zip archive as it travels: Base64 text, and the decimal CRC-64 of its bytes."""

    zip_file: str
    checksum: str

    @classmethod
    def of(cls, archive: bytes) -> Package:
        """The package that holds these bytes; raises InvalidInputError over 100 MB."""
        _check_size(len(archive))
        return cls(b64encode(archive).decode(), str(crc64(archive)))


def read_archive(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a zip archive; raises InvalidInputError when it is missing or something else."""
    source = Path(path)
    if not source.is_file():
        raise InvalidInputError(f"there is no file {str(source)!r}", hint="Give the path of a zip archive")
    _check_size(source.stat().st_size)
    archive = source.read_bytes()
    if not archive.startswith(b"PK"):
        raise InvalidInputError(f"{str(source)!r} is not a zip archive", hint="Use AgentRuntimeCode.from_file")
    return archive


def zip_path(path: str | os.PathLike[str]) -> bytes:
    """A file, or what is in a folder, as a zip archive.

    Names are sorted and times fixed; executable bits stay. Left out are `__pycache__`, `.git`, `.venv` and `*.pyc`.
    Raises InvalidInputError when the path is missing, there is nothing in it, or the archive is over 100 MB.
    """
    source = Path(path)
    if not source.exists():
        raise InvalidInputError(f"there is no file or folder {str(source)!r}", hint="Give the path of your code")
    names = {source.name: source} if source.is_file() else dict(_files(source))
    if not names:
        raise InvalidInputError(f"there are no files in {str(source)!r}", hint="Give the folder that holds your code")
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name in sorted(names):
            _add(archive, name, names[name])
            _check_size(buffer.tell())
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        for name in files:
            path = Path(root, name)
            if not name.endswith(".pyc") and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _add(archive: ZipFile, name: str, path: Path) -> None:
    info = ZipInfo(name)
    info.compress_type = ZIP_DEFLATED
    info.create_system = 3  # Unix, the only system whose permission bits are read back.
    info.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
    with path.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InvalidInputError(
            f"the code package is larger than {MAX_BYTES >> 20} MB",
            hint="Leave large files out, or put the archive into a bucket and use AgentRuntimeCode.from_oss",
        )
