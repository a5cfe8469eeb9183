"""What can be said on the command line about an emulator, before anything slow is imported."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from agentrun._core import local

# Access keys travel in the environment, because a command line can be read by every user of the machine.
ACCESS_KEYS_VARIABLE = "AGENTRUN_EMULATOR_ACCESS_KEYS"
PROVIDER_KEY_VARIABLE = "AGENTRUN_EMULATOR_PROVIDER_KEY"
_REPEATED = ("allow_host", "mount_root", "allow_network", "record_model", "redact")
_TEXTS = ("host", "profile", "backend", "speed", "record_url")
_PATHS = ("state", "script", "replay", "receipt", "record", "trusted_ca")
_SECRET = ("access_key", "provider_key")


class ChoiceError(Exception):
    """A choice that cannot be; the text says what can."""


@dataclass(frozen=True)
class Choices:
    """The options of `agentrun emulator up`, each field named as its option.

    `port` 0 takes a free one. `access_key` are pairs written `ID:SECRET`. `allow_network` are domains and CIDR blocks.
    `record` and those after it are said by `agentrun emulator record` alone.
    """

    port: int = local.PORT
    host: str = local.HOST
    state: Path | None = None
    tls: bool = False
    no_auth: bool = False
    loose: bool = False
    profile: str = "instant"
    backend: str = "auto"
    allow_unconfined: bool = False
    script: Path | None = None
    allow_host: tuple[str, ...] = ()
    mount_root: tuple[str, ...] = ()
    allow_network: tuple[str, ...] = ()
    trusted_ca: Path | None = None
    access_key: tuple[str, ...] = field(default=(), repr=False)
    replay: Path | None = None
    speed: str = "at-once"
    no_repeat: bool = False
    receipt: Path | None = None
    record: Path | None = None
    record_url: str = ""
    record_model: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    overwrite: bool = False
    provider_key: str = field(default="", repr=False)

    def arguments(self) -> list[str]:
        """The command line that says the same, without the secrets."""
        return [argument for spec in fields(self) if spec.name not in _SECRET for argument in self._said(spec.name)]

    def _said(self, name: str) -> list[str]:
        value, flag = getattr(self, name), f"--{name.replace('_', '-')}"
        if value == getattr(Choices, name):
            return []
        if name in _REPEATED:
            return [f"{flag}={one}" for one in value]
        return [flag] if value is True else [f"{flag}={value}"]

    def variables(self) -> dict[str, str]:
        """The environment that carries the secrets."""
        said = {ACCESS_KEYS_VARIABLE: " ".join(self.access_key), PROVIDER_KEY_VARIABLE: self.provider_key}
        return {name: value for name, value in said.items() if value}

    def access_keys(self) -> dict[str, str]:
        """The secrets by access key id; raises ChoiceError when one is not written `ID:SECRET`."""
        pairs = [pair.partition(":") for pair in self.access_key]
        if not all(key and secret for key, _, secret in pairs):
            raise ChoiceError("an access key is written ID:SECRET, such as --access-key alice:her-secret")
        return {key: secret for key, _, secret in pairs}


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Let a parser read what `Choices.arguments` writes."""
    for name, kind in (("port", int), *dict.fromkeys(_TEXTS, str).items(), *dict.fromkeys(_PATHS, Path).items()):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=getattr(Choices, name))
    for name in _REPEATED:
        parser.add_argument(f"--{name.replace('_', '-')}", action="append", default=[])
    for name in ("tls", "no-auth", "loose", "allow-unconfined", "no-repeat", "overwrite"):
        parser.add_argument(f"--{name}", action="store_true")


def read_choices(given: argparse.Namespace, environment: Mapping[str, str]) -> Choices:
    """The choices that a parser has read; their secrets are in the environment."""
    names = [spec.name for spec in fields(Choices) if spec.name not in (*_REPEATED, *_SECRET)]
    said: dict[str, Any] = {name: getattr(given, name) for name in names}
    said |= {name: tuple(getattr(given, name)) for name in _REPEATED}
    access_keys = environment.get(ACCESS_KEYS_VARIABLE, "").split()
    provider_key = environment.get(PROVIDER_KEY_VARIABLE, "")
    return Choices(**said, access_key=tuple(access_keys), provider_key=provider_key)
