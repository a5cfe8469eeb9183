"""Code packages: Base64 zips, checked before one byte of them is written, and unpacked where nothing else is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import lzma
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from agentrun._core.checksum import crc64
from agentrun.emulator.wire.envelope import ServiceError, invalid, unsupported

LARGEST_UNPACKED = 1024 * 2**20
MOST_FILES = 50_000
# What the standard library raises for zips that are not what they say.
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
_LONGEST_NAME = 255
# A zip that grows more than this is made to fill a disk, not to carry code.
LARGEST_RATIO = 200
# What of an upload is not kept in a document: the zip itself is a file, found by its digest.
_UPLOAD = ("zipFile",)


def decoded(configuration: Mapping[str, Any]) -> bytes:
    """The zip in a code configuration; raises ServiceError (400, 501) that names what is wrong."""
    text = configuration.get("zipFile")
    if not text:
        if configuration.get("ossBucketName"):
            raise unsupported("the emulator has no OSS buckets; send the code itself with AgentRuntimeCode.from_file")
        raise invalid("codeConfiguration.zipFile is required: the Base64 text of a zip")
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise invalid(f"codeConfiguration.zipFile is not Base64: {error}") from error
    checksum = configuration.get("checksum")
    if checksum and checksum != str(actual := crc64(content)):
        raise invalid(f"codeConfiguration.checksum is {checksum}, but the zip's CRC-64 is {actual}")
    check(content)
    return content


def without_upload(body: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is kept of a body: all but the zip, the code's settings over those from `before`."""
    document = dict(body)
    if code := document.get("codeConfiguration"):
        kept = {**(before or {}), **code}
        document["codeConfiguration"] = {key: value for key, value in kept.items() if key not in _UPLOAD}
    return document


def check(content: bytes) -> None:
    """Refuse a zip that is broken or whose entries lead out of its folder (400)."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            for entry in entries:
                _check_entry(entry)
            _check_places(entries)
            _check_sizes(entries, len(content))
            broken = archive.testzip()
    except _BROKEN as error:
        raise invalid(f"codeConfiguration.zipFile cannot be read as a zip: {error}") from error
    if broken:
        raise invalid(f"codeConfiguration.zipFile: {broken} is damaged")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name.split("/")[0]:
        raise invalid(f"codeConfiguration.zipFile: {name!r} leads out of the package; only relative paths are allowed")
    if any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise invalid(f"codeConfiguration.zipFile: a name in {name[:80]!r}... is longer than {_LONGEST_NAME} bytes")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise invalid(f"codeConfiguration.zipFile: {name!r} is a link or a device; only files and folders are allowed")


def _check_places(entries: list[zipfile.ZipInfo]) -> None:
    files = {PurePosixPath(entry.filename) for entry in entries if not entry.is_dir()}
    folders = {PurePosixPath(entry.filename) for entry in entries if entry.is_dir()}
    for path in files:
        folders.update(path.parents)
    both = sorted(map(str, files & folders))
    if both:
        raise invalid(f"codeConfiguration.zipFile: {both[0]!r} is a file and a folder")


def _check_sizes(entries: list[zipfile.ZipInfo], packed: int) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES:
        raise invalid(f"codeConfiguration.zipFile has {len(entries)} entries, {MOST_FILES} are allowed")
    if unpacked > LARGEST_UNPACKED or unpacked > max(packed, 4096) * LARGEST_RATIO:
        raise invalid(
            f"codeConfiguration.zipFile would grow from {packed} to {unpacked} bytes, which is refused as a bomb"
        )


class Packages:
    """Keeps packages by their content and unpacks each at most once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    async def take(self, configuration: Mapping[str, Any]) -> str:
        """Check, keep and unpack what was uploaded, in a thread because a large zip takes a while; its digest."""
        return await asyncio.to_thread(self._taken, configuration)

    def _taken(self, configuration: Mapping[str, Any]) -> str:
        digest = self.keep(decoded(configuration))
        self.folder(digest)
        return digest

    def keep(self, content: bytes) -> str:
        """Store a checked zip; returns the digest that finds it again."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._directory / f"{digest}.zip"
        if not path.exists():
            descriptor, temporary = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        return digest

    def keep_only(self, digests: Collection[str]) -> None:
        """Remove everything but these; must not run while a package is being kept."""
        for path in self._directory.iterdir():
            if path.name.removesuffix(".zip") in digests:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def content(self, digest: str) -> bytes:
        """The zip of a digest."""
        return (self._directory / f"{digest}.zip").read_bytes()

    def folder(self, digest: str) -> Path:
        """The unpacked files of a digest; raises ServiceError when they cannot be written."""
        folder = self._directory / digest
        if not folder.exists():
            temporary = Path(tempfile.mkdtemp(dir=self._directory))
            try:
                _unpack(self.content(digest), temporary)
                temporary.chmod(0o755)
                temporary.rename(folder)
            except OSError as error:
                shutil.rmtree(temporary, ignore_errors=True)
                if not folder.exists():
                    raise ServiceError(
                        500, "ERR_INTERNAL_SERVER_ERROR", f"the code cannot be unpacked: {error}"
                    ) from error
        return folder


def _unpack(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            target = Path(archive.extract(entry, folder))
            mode = entry.external_attr >> 16
            target.chmod(0o755 if entry.is_dir() or mode & 0o111 else 0o644)
