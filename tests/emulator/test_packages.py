"""Code packages: everything that could harm is refused with clear words before a byte of it is written."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator import Emulator
from agentrun.emulator.packages import Packages, check
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator import bodies
from tests.emulator.signed import RUNTIMES, Account


def archive_of(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return buffer.getvalue()


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def renamed(archive: bytes, name: bytes, other: bytes) -> bytes:
    assert len(name) == len(other)
    return archive.replace(name, other)


def spoiled(archive: bytes) -> bytes:
    """The archive with the first bytes of its first entry's data made wrong."""
    start = 30 + struct.unpack("<HH", archive[26:30])[0] + struct.unpack("<HH", archive[26:30])[1]
    return archive[:start] + bytes(byte ^ 0xFF for byte in archive[start : start + 8]) + archive[start + 8 :]


GOOD = archive_of(("main.py", b"print(1)\n" * 100))
HARMFUL: dict[str, tuple[bytes, str]] = {
    "slip": (archive_of(("../evil.py", b"x")), "'../evil.py' leads out of the package"),
    "slip inside": (archive_of(("a/../../evil.py", b"x")), "leads out of the package"),
    "slip at the end": (archive_of(("a/..", b"x")), "leads out of the package"),
    "absolute": (archive_of(("/etc/evil", b"x")), "'/etc/evil' leads out of the package"),
    "backslash": (archive_of(("..\\evil.py", b"x")), "leads out of the package"),
    "drive": (archive_of(("C:/evil.py", b"x")), "leads out of the package"),
    "link": (archive_of((special("link", stat.S_IFLNK), b"/etc/passwd")), "'link' is a link or a device"),
    "device": (archive_of((special("dev", stat.S_IFCHR), b"")), "is a link or a device"),
    "pipe": (archive_of((special("pipe", stat.S_IFIFO), b"")), "is a link or a device"),
    "bomb": (archive_of(("zeros", bytes(50 * 2**20))), "is refused as a bomb"),
    "bomb of many": (archive_of(*((f"zeros{n}", bytes(2**20)) for n in range(20))), "is refused as a bomb"),
    "too many": (archive_of(*((f"{n}", b"") for n in range(50_001)), method=zipfile.ZIP_STORED), "50001 entries"),
    "long name": (archive_of(("x" * 256, b"")), "is longer than 255 bytes"),
    "file and folder": (archive_of(("a", b""), ("a/b", b"")), "'a' is a file and a folder"),
    "cut off": (GOOD[:-30], "cannot be read as a zip"),
    "no zip": (b"#!/bin/sh\n", "cannot be read as a zip"),
    "damaged": (spoiled(GOOD), "zipFile"),
    "damaged, bzip2": (spoiled(archive_of(("a", b"x" * 99), method=zipfile.ZIP_BZIP2)), "zipFile"),
    "damaged, lzma": (spoiled(archive_of(("a", b"x" * 99), method=zipfile.ZIP_LZMA)), "zipFile"),
    "damaged, stored": (spoiled(archive_of(("a", b"x" * 99), method=zipfile.ZIP_STORED)), "a is damaged"),
    "empty": (b"", "codeConfiguration.zipFile is required"),
    "unknown method": (
        renamed(
            archive_of(("abc", b"x"), method=zipfile.ZIP_STORED),
            b"\x14\x00\x00\x00\x00\x00",
            b"\x14\x00\x00\x00\x63\x00",
        ),
        "zipFile",
    ),
}


def written(emulator: Emulator) -> set[Path]:
    return set((emulator.platform.directory / "packages").rglob("*"))


@pytest.mark.parametrize("what", HARMFUL)
def test_a_harmful_package_is_refused(emulator: Emulator, account: Account, what: str) -> None:
    archive, message = HARMFUL[what]
    before = written(emulator)
    assert message in account.refused(400, "POST", RUNTIMES, bodies.runtime(archive=archive) | named(archive))
    assert account.done("GET", RUNTIMES)["total"] == 0
    assert written(emulator) == before


def named(archive: bytes) -> dict[str, Any]:
    return {"codeConfiguration": bodies.code(archive)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zipFile": "not base64!"}, "zipFile is not Base64"),
        ({"zipFile": "中"}, "zipFile is not Base64"),
        ({"zipFile": "abc"}, "zipFile is not Base64"),
        ({"zipFile": None}, "zipFile is required"),
        ({"checksum": "12345"}, "checksum is 12345, but the zip's CRC-64 is"),
        ({"command": []}, "codeConfiguration.command is required"),
        ({"command": None}, "codeConfiguration.command is required"),
    ],
    ids=str,
)
def test_a_wrong_code_configuration_is_refused(
    emulator: Emulator, account: Account, changes: dict[str, Any], message: str
) -> None:
    before = written(emulator)
    body = bodies.runtime(codeConfiguration={**bodies.code(archive_of(("a", message.encode()))), **changes})
    assert message in account.refused(400, "POST", RUNTIMES, body)
    assert account.done("GET", RUNTIMES)["total"] == 0
    assert written(emulator) == before


def test_code_in_a_bucket_is_told_to_be_missing(account: Account) -> None:
    code = {"ossBucketName": "b", "ossObjectName": "o", "command": ["x"]}
    assert "no OSS buckets" in account.refused(501, "POST", RUNTIMES, bodies.runtime(codeConfiguration=code))


@pytest.mark.parametrize("missing", ["codeConfiguration"])
def test_a_runtime_without_code_is_refused(account: Account, missing: str) -> None:
    body = bodies.runtime()
    del body[missing]
    assert "command is required" in account.refused(400, "POST", RUNTIMES, body)


def test_a_package_is_unpacked_as_it_was(tmp_path: Path) -> None:
    tool = special("bin/tool", stat.S_IFREG)
    content = archive_of(("main.py", b"x"), ("lib/käse.py", b"y"), (tool, b"z"), ("empty/", b""), ("./dot.py", b"d"))
    check(content)
    packages = Packages(tmp_path)
    digest = packages.keep(content)
    assert packages.keep(content) == digest
    folder = packages.folder(digest)
    assert packages.folder(digest) == folder
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == {
        "main.py": b"x",
        "lib/käse.py": b"y",
        "bin/tool": b"z",
        "dot.py": b"d",
    }
    assert files["bin/tool"].stat().st_mode & 0o777 == 0o755
    assert files["main.py"].stat().st_mode & 0o777 == 0o644
    assert (folder / "empty").is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {digest, f"{digest}.zip"}


def test_a_size_that_lies_is_refused() -> None:
    content = archive_of(("a", bytes(100_000)))
    size = struct.pack("<I", 100_000)
    assert content.count(size) == 2
    with pytest.raises(ServiceError, match=r"damaged|cannot be read"):
        check(content.replace(size, struct.pack("<I", 10)))
