"""What a network policy lets through, and what the lifecycle does with policies."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from agentrun.emulator.backends.base import NetworkPolicy, NetworkRule
from agentrun.emulator.backends.policy import (
    Destination,
    is_public,
    matches_domain,
    matches_path,
    refusal_by_address,
    refusal_by_name,
)
from agentrun.emulator.control.network_policies import read_policy, shown_policy
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator.sandboxes import World

PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"


def listing(*rules: NetworkRule) -> NetworkPolicy:
    return NetworkPolicy("allow-list", rules)


def refused(policy: NetworkPolicy, destination: Destination, address: str = PUBLIC) -> str | None:
    by_name = refusal_by_name(policy, destination)
    return by_name or refusal_by_address(policy, destination, ipaddress.ip_address(address))


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.100.100.200", "0.0.0.0"),
        *("224.0.0.1", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::7f00:1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


# Names and paths


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("example.com", "example.com", True),
        ("example.com", "www.example.com", False),
        ("example.com", "notexample.com", False),
        ("example.com", "example.com.evil", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "notexample.com", False),
        ("*", "anything", True),
    ],
)
def test_domains(pattern: str, host: str, matches: bool) -> None:
    assert matches_domain(pattern, host) is matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/v1/*", "/v1/a", True),
        ("/v1/*", "/v1/a/b?x=/v2", True),
        ("/v1/*", "/v1", False),
        ("/v1/*", "/v2?/v1/a", False),
        ("/v1/*/end", "/v1/a/end", True),
        ("/a.c", "/abc", False),
        ("*", "/", True),
        ("/*/*/c", "/a/b/c", True),
        ("/a*a", "/a", False),
        ("/*a*" + "*b" * 200, "/" + "a" * 60_000, False),
        ("/v1/*", "/v1/../admin", False),
        ("/v1/*", "/v1/%2e%2e/admin", False),
        ("/v1/*", "/v1/%252e%252e/admin", False),
        ("/v1/*", "/v1/..%2fadmin", False),
        ("/v1/*", "/v1/..\\admin", False),
        ("/v1/*", "/v1/.%00./admin", True),
        ("/v1/*", "/v1/..a", True),
        ("/v1/*", "/%76%31/a", True),
        ("*", "/%25252525252e", False),
    ],
)
def test_paths(pattern: str, path: str, matches: bool) -> None:
    assert matches_path(pattern, path) is matches


# Decisions


def test_off_is_off() -> None:
    assert "network of this sandbox is off" in (refused(NetworkPolicy("off"), Destination("a.example", 443)) or "")


def test_on_is_every_public_address() -> None:
    on = NetworkPolicy()
    assert refused(on, Destination("a.example", 443)) is None
    reason = refused(on, Destination("a.example", 443), PRIVATE)
    assert "only public addresses" in (reason or "")
    assert '{"cidr": "10.1.2.3/32", "ports": [443]}' in (reason or "")


def test_an_allow_list_names_what_it_would_need() -> None:
    policy = listing(NetworkRule(domain="*.example.com"))
    assert refused(policy, Destination("api.example.com", 443)) is None
    assert '{"domain": "example.com", "ports": [8080]}' in (refused(policy, Destination("example.com", 8080)) or "")
    assert '{"cidr": "93.184.216.34/32", "ports": [443]}' in (refused(policy, Destination(PUBLIC, 443)) or "")
    plain = refused(policy, Destination("other", 80, "GET", "/a?secret=1")) or ""
    assert plain.startswith("GET http://other:80/a is refused")
    assert '{"domain": "other", "ports": [80]}' in plain


def test_a_name_on_the_list_does_not_open_private_addresses() -> None:
    policy = listing(NetworkRule(domain="a.example"))
    assert "only public addresses" in (refused(policy, Destination("a.example", 443), PRIVATE) or "")
    both = listing(NetworkRule(domain="a.example"), NetworkRule(cidr="10.0.0.0/8"))
    assert refused(both, Destination("a.example", 443), PRIVATE) is None


def test_blocks_hold_for_names_and_addresses() -> None:
    policy = listing(NetworkRule(cidr="10.0.0.0/8", ports=(5432,)))
    assert refused(policy, Destination(PRIVATE, 5432), PRIVATE) is None
    assert refused(policy, Destination("db.internal", 5432), PRIVATE) is None
    assert refused(policy, Destination("::ffff:a01:203", 5432), "::ffff:10.1.2.3") is None
    assert refused(policy, Destination(PRIVATE, 22), PRIVATE)
    assert refused(policy, Destination("db.internal", 5432), "11.0.0.1")
    assert refusal_by_name(policy, Destination("db.internal", 22)), "what no rule can let through is not looked up"


@pytest.mark.parametrize("wide", ["0.0.0.0/0", "::/0", "0.0.0.0/1"])
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1"])
def test_a_block_as_wide_as_the_internet_names_nothing_private(wide: str, address: str) -> None:
    assert refused(listing(NetworkRule(cidr=wide)), Destination(address, 80), address)


def test_ipv6() -> None:
    policy = listing(NetworkRule(cidr="2606:4700::/32"))
    assert refused(policy, Destination("2606:4700::1111", 443), "2606:4700::1111") is None
    assert "[2a00::1]:443" in (refused(policy, Destination("2a00::1", 443), "2a00::1") or "")
    assert refused(listing(NetworkRule(cidr="fd00::/8")), Destination("fd00::1", 80), "fd00::1") is None


def test_methods_and_paths_hold_for_plain_http_only() -> None:
    policy = listing(NetworkRule(domain="api.x", methods=("GET",), paths=("/v1/*",)))
    assert refused(policy, Destination("api.x", 80, "GET", "/v1/a")) is None
    assert '"methods": ["POST"], "paths": ["/v1/a"]' in (
        refused(policy, Destination("api.x", 80, "POST", "/v1/a")) or ""
    )
    assert refused(policy, Destination("api.x", 80, "GET", "/v2"))
    tunnel = refused(policy, Destination("api.x", 443)) or ""
    assert "nobody can check inside a tunnel" in tunnel
    wider = listing(*policy.allow, NetworkRule(domain="api.x", ports=(443,)))
    assert refused(wider, Destination("api.x", 443)) is None
    assert refused(wider, Destination("api.x", 80))


# Policies as they travel


def test_a_policy_is_shown_as_it_was_given() -> None:
    given = {
        "mode": "allow-list",
        "allow": [
            {"domain": "*.example.com"},
            {"cidr": "10.0.0.0/8", "ports": [443]},
            {"domain": "api.x", "methods": ["GET"], "paths": ["/v1/*"]},
        ],
    }
    assert shown_policy(read_policy(given)) == given
    assert shown_policy(read_policy({"mode": "off"})) == {"mode": "off"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "either a domain or a cidr"),
        ({"domain": "a", "cidr": "10.0.0.0/8"}, "either a domain or a cidr"),
        ({"domain": "https://a"}, "must be a name"),
        ({"domain": "a.*.b"}, "must be a name"),
        ({"domain": "*a.b"}, "must be a name"),
        ({"domain": "a:443"}, "must be a name"),
        ({"domain": "1.2.3.4"}, "is written as cidr"),
        ({"domain": "[::1]"}, "is written as cidr"),
        ({"domain": "münchen.de"}, "must be in ASCII"),
        ({"cidr": "10.0.0.1/8"}, "has host bits set"),
        ({"cidr": "ten"}, "must be a block of addresses"),
        ({"domain": "a", "ports": [0]}, "numbers from 1 to 65535"),
        ({"domain": "a", "paths": ["v1"]}, "begin with a slash"),
    ],
)
def test_rules_that_cannot_be(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message) as caught:
        read_policy({"mode": "allow-list", "allow": [rule]})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"mode": "maybe"}, "must be one of off, on, allow-list"),
        ({"mode": "on", "allow": [{"domain": "a"}]}, "is for the mode"),
        ({"mode": "allow-list", "allow": [{"domain": "a"}] * 257}, "at most 256 rules"),
    ],
)
def test_policies_that_cannot_be(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        read_policy(policy)


# Policies of sandboxes


@pytest.mark.asyncio
async def test_the_template_decides_unless_the_creator_does() -> None:
    pypi = listing(NetworkRule(domain="pypi.org"))
    made = World(public=pypi)
    made.template()
    made.template("closed", networkConfiguration={"networkMode": "PRIVATE"})
    assert (await made.create())["network"] == {"mode": "allow-list", "allow": [{"domain": "pypi.org"}]}
    assert (await made.create(templateName="closed"))["network"] == {"mode": "off"}
    assert (await made.create(templateName="closed", network={"mode": "on"}))["network"] == {"mode": "on"}
    assert [sandbox.spec.network.mode for sandbox in made.backend.started] == ["allow-list", "off", "on"]


@pytest.mark.asyncio
async def test_a_policy_changes_while_the_sandbox_runs() -> None:
    made = World()
    made.template()
    sandbox_id = (await made.create())["sandboxId"]
    wanted = {"mode": "allow-list", "allow": [{"domain": "a.example"}]}
    assert (await made.do("PUT", sandbox_id, "network", wanted))["network"] == wanted
    assert made.backend.started[0].policies == [NetworkPolicy(), listing(NetworkRule(domain="a.example"))]
    assert (await made.do("GET", sandbox_id))["network"] == wanted
    with pytest.raises(ServiceError, match="did you mean allow"):
        await made.do("PUT", sandbox_id, "network", {"mode": "on", "alow": []})


@pytest.mark.asyncio
async def test_a_backend_without_allow_lists_says_so() -> None:
    made = World()
    made.template()
    made.backend.capabilities = frozenset()
    with pytest.raises(ServiceError, match="has no network allow-lists") as caught:
        await made.create(network={"mode": "allow-list"})
    assert caught.value.status == 501
