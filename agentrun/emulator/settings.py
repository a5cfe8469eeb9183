"""What can be chosen about an emulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agentrun._core import local

if TYPE_CHECKING:
    from agentrun.emulator.backends.base import NetworkPolicy
    from agentrun.emulator.recordings import Chosen
    from agentrun.emulator.scripted.script import Script
    from agentrun.gateway.safety.checks import CheckFunction


@dataclass(frozen=True)
class Settings:
    """The choices; the defaults are those of `agentrun emulator up`.

    `port` 0 takes a free one and None opens none. `state` is the directory that survives, None keeps everything in
    memory. `access_keys` are pairs of id and secret that are accepted beside the default secret, which fits every id.
    Only folders below `mount_roots` can be mounted into sandboxes. `network` is what sandboxes of PUBLIC templates may
    reach unless their creator says something else; None is every public address. `recording` is where model calls are
    recorded to, or replayed from. `content_checks` are the functions that model proxies may name to check what is asked
    and answered. `trusted_ca` is a file of certificates by which servers are trusted, beside those of this machine,
    where credentials of sandboxes are put in.
    """

    host: str = local.HOST
    port: int | None = local.PORT
    state: Path | None = None
    region: str = local.REGION
    access_keys: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    secret: str = field(default=local.ACCESS_KEY_SECRET, repr=False)
    verify_signatures: bool = True
    strict: bool = True
    profile: str = "instant"
    backend: str = "auto"
    allow_unconfined: bool = False
    tls: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    script: Script | None = None
    recording: Chosen = None
    mount_roots: tuple[Path, ...] = ()
    network: NetworkPolicy | None = None
    content_checks: Mapping[str, CheckFunction] = field(default_factory=dict[str, "CheckFunction"])
    trusted_ca: Path | None = None
