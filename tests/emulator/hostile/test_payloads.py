"""The attacks work where nothing stops them; otherwise that they fail inside would say nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator.hostile.test_attempts import CALLS, REFUSED, SOCKETS, SYSTEM_CALLS
from tests.emulator.hostile.test_bombs import FATAL
from tests.emulator.hostile.test_network import CONNECT, HIDDEN, hidden_server

# What root may do to itself without harm to the machine: each in a process of its own that ends at once.
HARMLESS = (
    "open_tree",
    "fsopen",
    "unshare users",
    "unshare mounts",
    "unshare network",
    "clone with users",
    "add_key",
    "perf_event_open",
    "userfaultfd",
    "io_uring",
    "name_to_handle_at",
    "other personality",
    "higher priority",
    "real-time priority",
    "setns to itself",
    "chroot",
    "a 32-bit call",
)
# At least so many are possible as root on every kernel that is not hardened against root itself.
FEWEST = 10


def plain(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may do what the walls have to forbid")
def test_system_calls_succeed_without_walls() -> None:
    said = {name: plain(CALLS + SYSTEM_CALLS[name]) for name in HARMLESS}
    allowed = [name for name, result in said.items() if result and result not in REFUSED]
    assert len(allowed) >= FEWEST, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may open them")
def test_sockets_can_be_opened_without_walls() -> None:
    code = "import socket, sys\nprint(socket.socket(*{}).fileno())"
    assert all(int(plain(code.format(SOCKETS[name]))) > 0 for name in ("raw", "packet", "netlink audit"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read it")
def test_files_can_be_read_without_walls() -> None:
    assert plain("print(len(open('/etc/shadow').read()) > 0)") == "True"
    assert plain("import os; print(len(os.listdir(f'/proc/{os.getppid()}/fd')) > 0)") == "True"


def test_a_loopback_server_is_reached_without_walls() -> None:
    with hidden_server() as port:
        assert plain(f"{CONNECT}print(connects('127.0.0.1', {port}))") == "True"
        code = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}').read().decode())"
        assert plain(code) == HIDDEN


@pytest.mark.parametrize("name", ["exits", "segmentation fault", "abort"])
def test_fatal_code_is_fatal(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", FATAL[name]], capture_output=True, timeout=20, check=False)
    assert done.returncode != 0


def test_a_link_leads_out_without_walls(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to("/")
    assert Path(f"{tmp_path}/link{tmp_path}/secret").read_text() == "x"
    assert Path(f"/proc/self/root{tmp_path}/secret").read_text() == "x"
