"""A skill as it is fetched: an archive, which is unpacked into a folder."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from agentrun.errors import InvalidResponseError
from agentrun.tool.data import ToolDataAPI

SKILLS = ".skills"
LARGEST_SKILL = 256 * 1024 * 1024  # bytes, unpacked


async def save_skill(api: ToolDataAPI, name: str, target_dir: str) -> str:
    """Fetch a skill's archive and unpack it below a folder; returns the skill's own folder."""
    target = _folder(target_dir)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target) as beside:
        archive = Path(beside, "skill.zip")
        await _fetch(api, archive)
        unpacked = Path(beside, "skill")
        unpack(archive, unpacked, name)
        _replace(unpacked, target / name)
    return str(target / name)


def _folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _fetch(api: ToolDataAPI, archive: Path) -> None:
    stream = await api.download_async()
    try:
        with archive.open("wb") as file:  # A file of this machine, written as fast as it comes.
            async for piece in stream:
                file.write(piece)
    finally:
        await stream.close()


def unpack(archive: Path, folder: Path, name: str) -> None:
    """Unpack a skill's archive; raises InvalidResponseError for one that is broken, too large or leads outside.

    An archive whose files are all in one folder of any name is unpacked without that folder.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            _check(entries, name)
            packed.extractall(folder, entries)
    except zipfile.BadZipFile as error:
        raise InvalidResponseError(f"skill {name!r} is no zip archive") from error
    top = list(folder.iterdir())
    if len(top) == 1 and top[0].is_dir():
        _unwrap(top[0], folder)


def _check(entries: list[zipfile.ZipInfo], name: str) -> None:
    if sum(entry.file_size for entry in entries) > LARGEST_SKILL:
        raise InvalidResponseError(f"skill {name!r} is larger than {LARGEST_SKILL >> 20} MiB")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        is_link = entry.external_attr >> 28 == 0o12
        if path.is_absolute() or ".." in path.parts or is_link:
            raise InvalidResponseError(f"skill {name!r} leads outside of its folder: {entry.filename!r}")


def _unwrap(inner: Path, folder: Path) -> None:
    renamed = inner.rename(inner.with_name(f".unwrapped-{folder.name}"))
    for path in renamed.iterdir():
        path.rename(folder / path.name)
    renamed.rmdir()


def _replace(new: Path, old: Path) -> None:
    if old.exists():
        shutil.rmtree(old)
    new.rename(old)
