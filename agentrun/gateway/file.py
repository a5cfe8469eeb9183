"""The file that says what a gateway serves: services, proxies and keys, in YAML and in the service's own words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from agentrun._core.model import Model
from agentrun._core.values import is_list, is_object
from agentrun._core.yaml_text import read_yaml
from agentrun.errors import InvalidInputError
from agentrun.gateway.call import Caller
from agentrun.gateway.plan import Plan, PlanError, Service, build_plan
from agentrun.model.policies import ProxyConfig, ProxyMode

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class GatewayFileError(Exception):
    """The file cannot be used; the text says where and why."""


class ServiceEntry(Model):
    """A provider: where it is, its key, and its models."""

    base_url: str
    api_key: str | None = Field(default=None, repr=False)
    model_names: list[str] = Field(default_factory=list[str])
    provider: str | None = None
    description: str | None = None


class ProxyEntry(ProxyConfig):
    """A proxy: its endpoints and policies."""

    proxy_mode: ProxyMode = ProxyMode.SINGLE
    description: str | None = None


class KeyEntry(Model):
    """An API key for callers, and whose it is."""

    key: str = Field(repr=False, min_length=1)
    tenant: str = ""


class GatewayFile(Model):
    """All of the file; `functions` are content checks, as `module:function`."""

    services: dict[str, ServiceEntry] = Field(default_factory=dict[str, ServiceEntry])
    proxies: dict[str, ProxyEntry]
    keys: dict[str, KeyEntry] = Field(default_factory=dict[str, KeyEntry])
    functions: dict[str, str] = Field(default_factory=dict[str, str])

    @classmethod
    def read(cls, content: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> GatewayFile:
        """What a file says; `${NAME}` and `${NAME:-default}` stand for variables of the environment.

        Raises GatewayFileError.
        """
        try:
            return cls(**_filled(_short_keys(content), environment, ""))
        except InvalidInputError as error:
            raise GatewayFileError(str(error)) from error

    def plans(self) -> list[Plan]:
        """What to do for each proxy; raises GatewayFileError."""
        return [self._plan(name, proxy) for name, proxy in self.proxies.items()]

    def callers(self) -> dict[str, Caller]:
        """Who may call, by their keys."""
        return {entry.key: Caller(name, entry.tenant or name) for name, entry in self.keys.items()}

    def service(self, name: str) -> Service:
        """A service by its name; raises PlanError."""
        entry = self.services.get(name)
        if entry is None:
            known = ", ".join(self.services) or "none"
            raise PlanError(f"there is no service {name!r}; there are {known}")
        return Service(name, name, entry.base_url, entry.api_key, tuple(entry.model_names))

    def _plan(self, name: str, proxy: ProxyEntry) -> Plan:
        try:
            return build_plan(name, name, proxy, multi=proxy.proxy_mode == ProxyMode.MULTI, service=self.service)
        except PlanError as error:
            raise GatewayFileError(f"proxies.{name}: {error}") from error


def load(path: Path, environment: Mapping[str, str] = os.environ) -> GatewayFile:
    """Read a file, as `GatewayFile.read` does; raises GatewayFileError, which names it."""
    try:
        content: Any = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GatewayFileError(f"{path} cannot be read: {error}") from error
    if not is_object(content):
        raise GatewayFileError(f"{path} must hold an object with `proxies`, and not {type(content).__name__}")
    try:
        return GatewayFile.read(content, environment)
    except GatewayFileError as error:
        raise GatewayFileError(f"{path}: {error}") from error


def _short_keys(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A key may be written as its text alone."""
    keys = content.get("keys")
    if not is_object(keys):
        return content
    long = {name: {"key": entry} if isinstance(entry, str) else entry for name, entry in keys.items()}
    return {**content, "keys": long}


def _filled(value: Any, environment: Mapping[str, str], where: str) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _variable(found, environment, where), value)
    if is_object(value):
        return {name: _filled(entry, environment, f"{where}.{name}".lstrip(".")) for name, entry in value.items()}
    if is_list(value):
        return [_filled(entry, environment, f"{where}[{number}]") for number, entry in enumerate(value)]
    return value


def _variable(found: re.Match[str], environment: Mapping[str, str], where: str) -> str:
    default: str | None = found.group(2)
    value = environment.get(found[1], default)
    if value is None:
        raise GatewayFileError(f"{where} needs the environment variable {found[1]}, which is not set")
    return value
