"""What a build needs of this machine to reach its package sources: apt sources and pip settings.

They are used while building and stay out of every image: they may name private hosts and hold passwords.
"""

from __future__ import annotations

import configparser
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

APT = Path("/etc/apt")
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
APT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::Check-")


def codename() -> str | None:
    """The name of this Debian or Ubuntu release; None on other systems."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError:
        return None


def apt_sources(release: str, folder: Path = APT) -> dict[str, str]:
    """The sources of one release that apt uses here, as files by name: one-line and deb822 style apart."""
    lists = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    stanzas = sorted((folder / "sources.list.d").glob("*.sources"))
    found = {
        "host.list": "\n".join(line for line in _lines(lists) if line.startswith("deb ") and f" {release}" in line),
        "host.sources": "\n\n".join(stanza for stanza in _stanzas(stanzas) if f" {release}" in stanza),
    }
    return {name: f"{text}\n" for name, text in found.items() if text}


def apt_options() -> list[str]:
    """The settings of apt about proxies, certificates and checks, as it takes them on its command line."""
    try:
        dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return []
    pairs = [line.rstrip(";").split(" ", 1) for line in dumped.splitlines() if line.startswith(APT_OPTIONS)]
    return [f"{name} {value}" for name, value in pairs if value != '""']


def pip_settings(environment: Mapping[str, str] = os.environ, files: Iterable[Path] | None = None) -> str:
    """A pip.conf with the indexes that pip uses here; folders of this machine are left out, a build cannot see them."""
    settings: dict[str, str] = {}
    for file in _pip_files() if files is None else files:
        settings |= _pip_section(file)
    settings |= {key: environment[name] for key in PIP_KEYS if environment.get(name := _pip_variable(key))}
    kept = {key: value for key in PIP_KEYS if (value := _remote(key, settings.get(key, "")))}
    return "\n".join(["[global]", *(f"{key} = {value}" for key, value in kept.items()), ""])


def proxies(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The proxies of this machine as build arguments, which the engine keeps out of an image's history."""
    return {name: environment[name] for name in PROXY_VARIABLES if environment.get(name)}


def _lines(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        if file.is_file():
            yield from file.read_text().splitlines()


def _stanzas(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        yield from file.read_text().split("\n\n")


def _pip_files() -> list[Path]:
    """Where pip looks, the file that counts most last."""
    home = Path.home()
    named = os.environ.get("PIP_CONFIG_FILE")
    usual = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf", Path(sys.prefix, "pip.conf")]
    return [*usual, *([Path(named)] if named else [])]


def _pip_section(file: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (configparser.Error, OSError):
        return {}
    return {
        name: value for section in ("global", "install") if section in parser for name, value in parser[section].items()
    }


def _pip_variable(key: str) -> str:
    return f"PIP_{key.upper().replace('-', '_')}"


def _remote(key: str, value: str) -> str:
    words = value.split()
    if key.endswith("index-url"):
        words = [word for word in words if urlsplit(word).scheme in ("http", "https")]
    return " ".join(words)
