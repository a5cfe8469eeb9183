"""Which destinations a sandbox may reach."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from agentrun._core.model import Model

if TYPE_CHECKING:
    from typing_extensions import Self


class NetworkRule(Model):
    """One destination that is allowed: a domain (`*.example.com` for all below it), or a block of addresses.

    `ports` limits it where given. With `methods` or `paths` (`*` stands for anything) only plain HTTP requests that
    match are let through, because nobody can look into TLS.
    """

    domain: str | None = None
    cidr: str | None = None
    ports: list[int] | None = None
    methods: list[str] | None = None
    paths: list[str] | None = None

    @model_validator(mode="after")
    def _name_one_destination(self) -> Self:
        if (self.domain is None) == (self.cidr is None):
            raise ValueError("a rule names either a domain or a cidr")
        return self

    @classmethod
    def to(cls, destination: str) -> NetworkRule:
        """The rule for a domain, an address or a block of addresses."""
        try:
            return cls(cidr=str(ip_network(destination, strict=False)))
        except ValueError:
            return cls(domain=destination)


class NetworkPolicy(Model):
    """What a sandbox may reach: nothing, every public address, or what a list names."""

    mode: Literal["off", "on", "allow-list"] = "on"
    rules: list[NetworkRule] = Field(
        default_factory=list[NetworkRule], validation_alias="allow", serialization_alias="allow"
    )

    @classmethod
    def off(cls) -> NetworkPolicy:
        """No network."""
        return cls(mode="off")

    @classmethod
    def on(cls) -> NetworkPolicy:
        """Every public address."""
        return cls(mode="on")

    @classmethod
    def allow(cls, *destinations: str | NetworkRule) -> NetworkPolicy:
        """Only these: domains such as `pypi.org` and `*.pypi.org`, addresses, blocks of addresses, or rules."""
        rules = [each if isinstance(each, NetworkRule) else NetworkRule.to(each) for each in destinations]
        return cls(mode="allow-list", rules=rules)
