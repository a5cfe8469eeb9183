"""Where an MCP server is, and what is sent along so that it lets us in."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from agentrun._core.api import DataAPI
from agentrun.config import Config
from agentrun.errors import ConfigError, ConnectError, InvalidInputError

TRANSPORTS = ("streamable_http", "sse", "stdio")

# Headers, or what gives them whenever something is sent, so that a credential that was rotated counts at once.
Headers: TypeAlias = "Mapping[str, str] | Callable[[], Mapping[str, str]]"


@dataclass(frozen=True)
class HttpAddress:
    """A server at a URL; what goes to the Config's data plane has its headers, and is signed unless `sign` is False."""

    url: str
    transport: str = "streamable_http"
    headers: Headers = field(default_factory=dict[str, str], repr=False)
    config: Config | None = None
    sign: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(
                f"{self.url!r} is not a URL of an MCP server", field="url", hint="Give one such as https://host/mcp"
            )

    @property
    def settings(self) -> Config:
        """The Config that applies."""
        return self.config or Config()

    def target(self) -> str:
        """The URL to call: on the data plane's host for signed calls, when it is the data plane's."""
        endpoints = self._data_endpoints()
        if not self.sign or endpoints is None or not _is_below(self.url, endpoints[0]):
            return self.url
        return endpoints[1] + self.url[len(endpoints[0]) :]

    async def authenticate(self, method: str, url: str) -> Mapping[str, str]:
        """The headers for one request, made at the moment when it is sent."""
        given = await asyncio.to_thread(self.headers) if callable(self.headers) else self.headers
        own = {name.lower(): value for name, value in given.items()}
        if not any(_is_below(url, base) for base in self._data_endpoints() or ()):
            return own
        if self.sign:
            return {**DataAPI(config=self.config).headers(method, url), **own}
        return {**{name.lower(): value for name, value in self.settings.get_headers().items()}, **own}

    def _data_endpoints(self) -> tuple[str, str] | None:
        """The base URL of the data plane and the one for signed calls, None when the Config leads to none."""
        try:
            return self.settings.get_data_endpoint(), self.settings.get_signed_data_endpoint()
        except ConfigError:
            return None


@dataclass(frozen=True)
class CommandAddress:
    """A server that is started as a process on this machine, with the rights of whoever calls it."""

    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | Path | None = None
    transport: str = "stdio"

    def parameters(self) -> dict[str, object]:
        """What to start; raises ConnectError when there is no such program or folder."""
        path = (self.env or {}).get("PATH")
        if shutil.which(self.command, path=path) is None and shutil.which(self.command) is None:
            raise ConnectError(f"there is no program {self.command!r} to start", hint="Install it, or give its path")
        if self.cwd is not None and not Path(self.cwd).is_dir():
            raise ConnectError(f"there is no folder {str(self.cwd)!r} to start {self.command!r} in")
        return {"command": self.command, "args": list(self.args), "env": dict(self.env), "cwd": self.cwd}


Address: TypeAlias = "HttpAddress | CommandAddress"


def _is_below(url: str, base: str) -> bool:
    """Whether a URL is on the host of a base URL and below its path."""
    one, other = urlsplit(url), urlsplit(base)
    same = (one.scheme, one.netloc.lower()) == (other.scheme, other.netloc.lower())
    return same and one.path.startswith(other.path.rstrip("/") + "/")
