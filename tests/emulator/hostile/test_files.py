"""Paths that lead somewhere else: through the interface for files, and in the packages of agents."""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.emulator import bodies
from tests.emulator.hostile.arena import Arena, whatever_the_walls
from tests.emulator.signed import RUNTIMES

HOST_MARK = "of the host"

# How a path may try to get to a file of the host.
DETOURS = [
    "{path}",
    "/home/user/../../../..{path}",
    "../../../../../..{path}",
    "/proc/self/root{path}",
    "/proc/1/root{path}",
    "/proc/self/cwd/../../../..{path}",
    "/proc/thread-self/root{path}",
    "/proc/self/task/1/root{path}",
    "/home/user/link{path}",
    "/home/user/linked",
    "file://{path}",
    "file:///proc/self/root{path}",
    "file:///home/user/%2e%2e/%2e%2e{path}",
    "/dev/fd/../../..{path}",
    "//{path}",
    "/./{path}",
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the host that everybody there may read and write."""
    path = tmp_path / "host-secret.txt"
    path.write_text(HOST_MARK)
    path.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp") and folder.stat().st_uid == os.getuid():
            folder.chmod(0o755)
    return path


def test_no_way_of_reading_leads_to_the_host(arena: Arena, secret: Path) -> None:
    arena.command(f"cd ~; ln -s / link; ln -s {secret} linked")
    for detour in DETOURS:
        path = detour.format(path=secret)
        answers = [
            arena.request("GET", "files", path=path),
            arena.request("GET", "filesystem/download", path=path),
            arena.request("GET", "filesystem/stat", path=path),
            arena.request("GET", "filesystem", path=os.path.dirname(path)),
            arena.request("POST", "files/batch", {"read": [path]}),
            arena.request(
                "GET", "filesystem/search", path=os.path.dirname(path), pattern="host-secret*", content="of the"
            ),
            arena.request("POST", "filesystem/move", {"source": path, "destination": "/home/user/stolen"}),
        ]
        for answer in answers:
            assert HOST_MARK not in answer.text, (path, answer.text)
            # Landlock does not keep back what only describes a file.
            described = detour.endswith("linked") or not arena.ground.has_namespaces
            assert '"name":"host-secret.txt"' not in answer.text or described, (path, answer.text)
    assert secret.read_text() == HOST_MARK


def test_no_way_of_writing_leads_to_the_host(arena: Arena, secret: Path) -> None:
    arena.command(f"cd ~; ln -s / link; ln -s {secret} linked; echo inside >inside")
    for detour in DETOURS:
        path = detour.format(path=secret)
        arena.request("POST", "files", {"path": path, "content": "changed"})
        arena.request("POST", "files/batch", {"write": [{"path": path, "content": "changed"}]})
        arena.request("POST", "filesystem/permissions", {"path": path, "mode": "000"})
        arena.request("POST", "filesystem/move", {"source": "/home/user/inside", "destination": path})
        arena.request("POST", "filesystem/mkdir", {"path": os.path.dirname(path) + "/made"})
        arena.request("POST", "filesystem/remove", {"path": path})
        account = arena.ground.account
        query = [("path", path)]
        account.client.send(
            account.data_request("PUT", f"{arena.attacker.path}/filesystem/content", query=query, content=b"changed")
        )
    assert secret.read_text() == HOST_MARK
    assert secret.stat().st_mode & 0o777 == 0o666
    assert not (secret.parent / "made").exists()


def test_a_link_that_changes_while_it_is_used(arena: Arena, secret: Path) -> None:
    """Between looking at a path and opening it, it becomes a link out: what it leads to is still the sandbox's own."""
    code = f"""
import os, time
end = time.monotonic() + 2
while time.monotonic() < end:
    for make in (lambda: os.symlink({str(secret)!r}, 'new'), lambda: open('new', 'w').close()):
        try:
            make()
            os.rename('new', 'target')
        except OSError: pass
"""
    arena.request("POST", "files", {"path": "race.py", "content": code})
    arena.command("setsid python3 race.py >/dev/null 2>&1 &")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert HOST_MARK not in arena.request("GET", "files", path="/home/user/target").text
        arena.request("POST", "files", {"path": "/home/user/target", "content": "changed"})
        arena.request("POST", "filesystem/permissions", {"path": "/home/user/target", "mode": "600"})
    assert secret.read_text() == HOST_MARK
    assert secret.stat().st_mode & 0o777 == 0o666


@whatever_the_walls
@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/random", "/dev/full", "/dev/ptmx", "/dev/stdin", "/home/user/pipe", "/home/user/socket"]
)
def test_what_only_looks_like_a_file(arena: Arena, path: str) -> None:
    arena.command("cd ~; mkfifo pipe; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('socket')\"")
    began = time.monotonic()
    for answer in (
        arena.request("GET", "files", path=path),
        arena.request("GET", "filesystem/download", path=path),
        arena.request("POST", "files", {"path": path, "content": "x"}),
        arena.request("POST", "filesystem/move", {"source": path, "destination": "/tmp/there"}),
        arena.request("GET", "filesystem/search", path="/home/user", pattern="*", content="x"),
    ):
        assert answer.status_code < 500 or answer.status_code == 507, answer.text
    assert time.monotonic() - began < 5
    assert arena.still_works()


NAMES: dict[str, Callable[[Arena], None]] = {
    "a long name": lambda arena: _expect(arena, {"path": "x" * 300, "content": ""}, 400),
    "a long path": lambda arena: _expect(arena, {"path": "x/" * 3000, "content": ""}, 400),
    "a NUL byte": lambda arena: _expect(arena, {"path": "a\0b", "content": ""}, 400),
    "a lone surrogate": lambda arena: _expect(arena, {"path": "a\ud800", "content": ""}, 400),
    "nothing": lambda arena: _expect(arena, {"path": "", "content": ""}, 400),
    "not Unicode": lambda arena: _expect(arena, {"path": "file:///home/user/%ff%fe", "content": ""}, 200),
    "a line feed": lambda arena: _expect(arena, {"path": "a\r\nX-Injected: 1", "content": ""}, 200),
    "a list": lambda arena: _expect(arena, {"path": ["a"], "content": ""}, 400),
    "a number": lambda arena: _expect(arena, {"path": 5, "content": ""}, 400),
}


def _expect(arena: Arena, body: dict[str, object], status: int) -> None:
    answer = arena.request("POST", "files", body)
    assert answer.status_code == status, answer.text
    path = body["path"]
    if status == 200 and isinstance(path, str):
        read = arena.request("GET", "filesystem/download", path=path)
        assert read.status_code == 200
        assert "x-injected" not in read.headers


@whatever_the_walls
@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name(arena: Arena, name: str) -> None:
    NAMES[name](arena)
    assert arena.still_works()


@whatever_the_walls
def test_names_of_any_bytes_are_listed(arena: Arena) -> None:
    arena.python("import os\nos.makedirs(b'odd/' + bytes(range(128, 255)))\nopen(b'odd/\\n\\xff', 'w').close()")
    listed = arena.request("GET", "filesystem", path="/home/user/odd")
    assert listed.status_code == 200, listed.text
    assert len(listed.json()["entries"]) == 2
    assert arena.request("POST", "filesystem/remove", {"path": "/home/user/odd"}).status_code in (200, 204)
    assert arena.said("ls ~/odd 2>&1 | head -1").startswith("ls: cannot access")


def test_a_deep_tree(arena: Arena) -> None:
    """Listed, searched, copied and removed without recursion that ends the agent."""
    arena.python("import os\nfor _ in range(3000):\n  os.mkdir('d')\n  os.chdir('d')", timeout=10)
    for answer in (
        arena.request("GET", "filesystem", path="/home/user", depth="1000"),
        arena.request("GET", "filesystem/search", path="/home/user", pattern="**/nothing"),
        arena.request("POST", "filesystem/permissions", {"path": "/home/user/d", "mode": "755", "recursive": True}),
        arena.request("POST", "filesystem/move", {"source": "/home/user/d", "destination": "/tmp/d"}),
        arena.request("POST", "filesystem/remove", {"path": "/tmp/d"}),
    ):
        assert answer.status_code < 500, answer.text
    assert arena.still_works()


def test_a_sparse_file(arena: Arena) -> None:
    """A file that claims to be huge is read in pieces or refused, and copied by nobody's memory."""
    arena.command("truncate -s 1023M ~/big")
    assert arena.request("GET", "files", path="/home/user/big").status_code in (400, 413)
    account = arena.ground.account
    request = account.data_request(
        "GET", f"{arena.attacker.path}/filesystem/download", query=[("path", "/home/user/big")]
    )
    answer = account.client.send(request, stream=True)
    answer.close()
    assert arena.still_works()


def test_the_agent_s_memory_is_no_file(arena: Arena) -> None:
    for path in (
        "/proc/self/mem",
        "/proc/1/mem",
        "/proc/self/environ",
        "/proc/self/fd/3",
        "/proc/self/maps",
        "/proc/self/fd",
    ):
        answers = [
            arena.request("GET", "files", path=path),
            arena.request("POST", "files", {"path": path, "content": "x"}),
        ]
        assert all(400 <= answer.status_code < 500 for answer in answers), (path, [answer.text for answer in answers])
    assert arena.still_works()


# Packages of agents


def _package(files: dict[str, bytes | str], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, target)
    return buffer.getvalue()


PACKAGES: dict[str, Callable[[Path], bytes]] = {
    "parent": lambda path: _package({"main.py": "", "../../escaped": "x", "../" * 20 + str(path).lstrip("/"): "x"}),
    "absolute": lambda path: _package({"main.py": "", str(path): "x"}),
    "backslashes": lambda path: _package({"main.py": "", "..\\..\\escaped": "x"}),
    "a link": lambda path: _package({"main.py": "", "link/" + path.name: "x"}, {"link": str(path.parent)}),
    "a link first": lambda path: _package({}, {"link": str(path.parent)})[:0] + _linked_first(path),
    "a bomb": lambda path: _package({"main.py": bytes(3 * 10**9 // 4)}),
    "no archive": lambda path: b"PK\x03\x04" + bytes(100),
}


def _linked_first(path: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, str(path.parent))
        archive.writestr(f"link/{path.name}", "x")
        archive.writestr("main.py", "")
    return buffer.getvalue()


@whatever_the_walls
@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_stays_in_its_folder(arena: Arena, secret: Path, name: str) -> None:
    before = {str(path) for path in secret.parent.rglob("*")}
    body = bodies.runtime(f"slip-{time.monotonic_ns()}", PACKAGES[name](secret))
    answer = arena.ground.account.call("POST", RUNTIMES, body)
    if answer.status_code == 200:
        arena.ground.account.call("DELETE", f"{RUNTIMES}/{answer.json()['data']['agentRuntimeId']}")
    assert secret.read_text() == HOST_MARK
    assert {str(path) for path in secret.parent.rglob("*")} == before
    assert not list(arena.ground.state.rglob("escaped")) or all(
        "packages" in path.parts for path in arena.ground.state.rglob("escaped")
    )


@whatever_the_walls
def test_threads_of_one_upload_do_not_hold_others_up(arena: Arena) -> None:
    """Eight uploads that never end, and the files of everybody else still answer."""
    account = arena.ground.account
    stop = threading.Event()

    def slow() -> None:
        def body() -> object:
            while not stop.wait(0.2):
                yield b"x"

        request = account.data_request("PUT", f"{arena.attacker.path}/filesystem/content", query=[("path", "slow")])
        headers = {name: value for name, value in request.headers.items() if name not in ("content-length",)}
        account.client.request("PUT", request.url, headers=headers, content=body())  # type: ignore[arg-type]

    threads = [threading.Thread(target=slow, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.4)
    assert arena.request("GET", "filesystem", path="/home/user").status_code == 200
    stop.set()
    for thread in threads:
        thread.join(10)
