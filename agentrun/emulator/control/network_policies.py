"""Network policies as they travel: read strictly, and shown as they were given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentrun.emulator.backends.base import NetworkPolicy, NetworkRule
from agentrun.emulator.backends.policy import ALLOW_LIST, MODES, OFF, as_address, block
from agentrun.emulator.wire.envelope import ServiceError, invalid

MOST_RULES = 256
_DOMAIN = re.compile(r"\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")


def default_policy(network_mode: str | None, public: NetworkPolicy) -> NetworkPolicy:
    """What a template's network mode means: `public` for PUBLIC, nothing at all for the private modes."""
    return public if network_mode in (None, "PUBLIC") else NetworkPolicy(OFF)


def read_policy(value: Mapping[str, Any], path: str = "network") -> NetworkPolicy:
    """The policy that a checked object means; raises ServiceError (400)."""
    mode, allow = value["mode"], value.get("allow") or ()
    if mode not in MODES:
        raise invalid(f"{path}.mode must be one of {', '.join(MODES)}, not {mode}")
    if allow and mode != ALLOW_LIST:
        raise invalid(f'{path}.allow is for the mode "{ALLOW_LIST}", not for "{mode}"')
    if len(allow) > MOST_RULES:
        raise invalid(f"{path}.allow must have at most {MOST_RULES} rules")
    return NetworkPolicy(mode, tuple(_read_rule(rule, f"{path}.allow[{index}]") for index, rule in enumerate(allow)))


def read_destinations(destinations: tuple[str, ...]) -> NetworkPolicy | None:
    """The allow-list of some domains and CIDR blocks, None when there are none; raises ValueError."""
    if not destinations:
        return None
    try:
        rules = [{"cidr" if _is_block(text) else "domain": text} for text in destinations]
        return read_policy({"mode": ALLOW_LIST, "allow": rules})
    except ServiceError as error:
        raise ValueError(error.message) from error


def shown_policy(policy: NetworkPolicy) -> dict[str, Any]:
    """The policy as an object."""
    if policy.mode != ALLOW_LIST:
        return {"mode": policy.mode}
    return {"mode": policy.mode, "allow": [_shown_rule(rule) for rule in policy.allow]}


def _is_block(text: str) -> bool:
    return "/" in text or as_address(text) is not None


def _read_rule(rule: Mapping[str, Any], path: str) -> NetworkRule:
    domain, cidr = rule.get("domain"), rule.get("cidr")
    if (domain is None) == (cidr is None):
        raise invalid(f"{path} must have either a domain or a cidr")
    return NetworkRule(
        domain=None if domain is None else _domain(domain, path),
        cidr=None if cidr is None else _cidr(cidr, path),
        ports=_ports(rule.get("ports") or (), path),
        methods=tuple(method.upper() for method in rule.get("methods") or ()),
        paths=_paths(rule.get("paths") or (), path),
    )


def _domain(text: str, path: str) -> str:
    if as_address(text.strip("[]")) is not None:
        raise invalid(f"{path}.domain must be a name; an address is written as cidr, such as {text.strip('[]')}/32")
    name = text.lower().removesuffix(".")
    if not name.isascii():
        raise invalid(f"{path}.domain must be in ASCII: write {text} as xn--...")
    if not _DOMAIN.fullmatch(name):
        raise invalid(f"{path}.domain must be a name such as example.com or *.example.com, not {text[:80]!r}")
    return name


def _cidr(text: str, path: str) -> str:
    try:
        return str(block(text))
    except ValueError as error:
        raise invalid(f"{path}.cidr must be a block of addresses such as 10.0.0.0/8: {error}") from None


def _ports(ports: Any, path: str) -> tuple[int, ...]:
    if not all(0 < port < 65536 for port in ports):
        raise invalid(f"{path}.ports must be numbers from 1 to 65535")
    return tuple(int(port) for port in ports)


def _paths(paths: Any, path: str) -> tuple[str, ...]:
    if not all(pattern.startswith(("/", "*")) for pattern in paths):
        raise invalid(f"{path}.paths must begin with a slash, such as /v1/*")
    return tuple(paths)


def _shown_rule(rule: NetworkRule) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "domain": rule.domain,
        "cidr": rule.cidr,
        "ports": list(rule.ports),
        "methods": list(rule.methods),
        "paths": list(rule.paths),
    }
    return {name: value for name, value in fields.items() if value}
