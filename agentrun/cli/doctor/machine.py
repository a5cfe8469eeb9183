"""Whether the emulator itself can run here."""

from __future__ import annotations

import socket
import sqlite3
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.request import getproxies, proxy_bypass

from agentrun._core import local
from agentrun.cli.doctor.finding import Finding, installer
from agentrun.emulator import records

_OLDEST_PYTHON = (3, 10)
# The oldest that knows UPSERT without a conflict target, which the store uses.
_OLDEST_SQLITE = (3, 35)
_SERVER_MODULES = ("uvicorn", "starlette", "httptools", "websockets", "cryptography", "certifi", "IPython")


def findings() -> Iterator[Finding]:
    """Look at what the emulator needs."""
    yield _python()
    yield _packages()
    yield _sqlite()
    yield _port()
    yield _proxies()


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    well = sys.version_info[:2] >= _OLDEST_PYTHON
    return Finding("python", well, found, f"{installer()} python3.12", essential=True)


def _packages() -> Finding:
    absent = [name for name in _SERVER_MODULES if find_spec(name) is None]
    detail = f"without {', '.join(absent)}" if absent else "all of the emulator's are installed"
    return Finding("packages", not absent, detail, "pip install 'agentrun[emulator]'", essential=True)


def _sqlite() -> Finding:
    well = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    return Finding("sqlite", well, sqlite3.sqlite_version, f"{installer()} libsqlite3-0", essential=True)


def _port() -> Finding:
    name = f"port {local.PORT}"
    own = [emulator for emulator in records.running() if emulator.port == local.PORT]
    if own:
        return Finding(name, True, f"used by your emulator (pid {own[0].pid})")
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((local.HOST, local.PORT))
        except OSError as error:
            return Finding(name, False, str(error.strerror), "agentrun emulator up --port 0")
    return Finding(name, True, "free")


def _proxies() -> Finding:
    proxies = {scheme: url for scheme, url in getproxies().items() if scheme in ("http", "https", "all")}
    if not proxies:
        return Finding("proxies", True, "none in the environment")
    names = ", ".join(f"{scheme.upper()}_PROXY" for scheme in proxies)
    if proxy_bypass(local.HOST):
        return Finding("proxies", True, f"{names}, not used for {local.HOST}")
    fix = f"export NO_PROXY={local.HOST},localhost (`exec` and `env` do)"
    return Finding("proxies", False, f"{names} would also be used for {local.HOST}", fix)
