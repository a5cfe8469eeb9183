"""Outbound credentials as the emulator itself shows them: live, counted, with tokens from a real token server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentrun._core.outbound import Outgoing, Place, Proof
from agentrun.emulator.auth import Tenant
from agentrun.emulator.clock import ManualClock
from agentrun.emulator.control import credentials
from agentrun.emulator.fetching import Fetcher
from agentrun.emulator.lifecycle import Lifecycle
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Scope, Store
from agentrun.emulator.usage import Usage, User
from agentrun.emulator.vault import Vault
from agentrun.errors import CredentialError
from tests.canary import canary, files_below
from tests.token_server import token_server
from tests.unit.servers import closed_port

ALICE = Tenant("alice", Scope("1", "cn-hangzhou"))
TOOL = User("tool", "t-1", "weather")
REQUEST = Outgoing("GET", "http://x/")


class Platform:
    """What is needed of one to show a credential."""

    def __init__(self, state: Path) -> None:
        self.clock = ManualClock()
        self.store = Store(state)
        lifecycle = Lifecycle(self.store, self.clock, "instant")
        self.credentials = Resources(credentials.KIND, self.store, lifecycle, Vault(state), self.clock)
        self.usage = Usage(self.store, self.clock)
        self.fetcher = Fetcher()
        self.outbound = OutboundCredentials(self.credentials, self.fetcher, self.usage, self.clock)

    def add(self, kind: str, secret: str = "", **public: Any) -> None:
        document = {
            "credentialName": "one",
            "credentialAuthType": kind,
            "credentialSourceType": "external_tool",
            "credentialSecret": secret,
            "credentialPublicConfig": public,
            "enabled": True,
        }
        self.credentials.create(ALICE, "one", document)

    def change(self, **changes: Any) -> None:
        self.credentials.update(self.credentials.get(ALICE.scope, "one"), changes)

    async def show(self, place: Place | None = None) -> Proof:
        return await self.outbound.proof(ALICE.scope, "one", TOOL, REQUEST, place)

    def used(self) -> int:
        record = self.credentials.get(ALICE.scope, "one")
        return sum(user["calls"] for user in self.usage.of(ALICE.scope, record.id)["users"])


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    found = Platform(tmp_path)
    yield found
    found.fetcher.close()
    found.store.close()


def written(folder: Path) -> str:
    return "".join(path.read_text("latin-1") for path in folder.iterdir())


@pytest.mark.asyncio
async def test_a_key_is_shown_as_it_is_now(platform: Platform) -> None:
    platform.add("api_key", "first", headerKey="X-Key")
    assert (await platform.show()).headers == {"X-Key": "first"}
    assert (await platform.show(Place("query", "key"))).query == {"key": "first"}
    platform.change(credentialSecret="second")
    assert (await platform.show()).headers == {"X-Key": "second"}
    assert platform.used() == 3
    platform.change(enabled=False)
    with pytest.raises(CredentialError, match="disabled"):
        await platform.show()
    platform.credentials.delete(platform.credentials.get(ALICE.scope, "one"))
    with pytest.raises(CredentialError, match="does not exist"):
        await platform.show()


@pytest.mark.asyncio
async def test_accounts_have_their_own(platform: Platform) -> None:
    platform.add("api_key", "first")
    with pytest.raises(CredentialError, match="does not exist"):
        await platform.outbound.proof(Scope("2", "cn-hangzhou"), "one", TOOL, REQUEST)


@pytest.mark.asyncio
async def test_tokens_are_fetched_once_and_their_successors_sealed(platform: Platform, tmp_path: Path) -> None:
    with token_server(client_secret=canary(), refresh_tokens={canary("refresh")}, rotates=True) as server:
        parts = {
            "grantType": "refresh_token",
            "tokenUrl": server.token_url,
            "clientId": "client",
            "refreshToken": next(iter(server.refresh_tokens)),
        }
        platform.add("jwt", server.client_secret, authType="oauth2", authConfig=parts)
        shown = await asyncio.gather(*(platform.show() for _ in range(20)))
        assert {found.headers["Authorization"] for found in shown} == {f"Bearer {server.given[0]}"}
        kept = platform.credentials.get(ALICE.scope, "one").document["credentialPublicConfig"]["authConfig"]
        assert {kept["refreshToken"]} == server.refresh_tokens
        assert files_below(tmp_path) == []
        assert server.given[0] not in written(tmp_path), "tokens are kept in memory alone"
        other = await platform.outbound.again(ALICE.scope, "one", REQUEST, shown[0])
        assert other
        assert other.headers == {"Authorization": f"Bearer {server.given[1]}"}
        platform.change(enabled=False)
        with pytest.raises(CredentialError, match="disabled"):
            await platform.show()


@pytest.mark.asyncio
async def test_a_key_that_is_refused_has_no_other(platform: Platform) -> None:
    platform.add("api_key", "first")
    assert await platform.outbound.again(ALICE.scope, "one", REQUEST, await platform.show()) is None


@pytest.mark.asyncio
async def test_a_token_server_that_is_not_there(platform: Platform) -> None:
    parts = {
        "grantType": "client_credentials",
        "tokenUrl": f"http://127.0.0.1:{closed_port()}/token?key=hidden",
        "clientId": "client",
    }
    platform.add("jwt", "hidden", authType="oauth2", authConfig=parts)
    with pytest.raises(CredentialError, match="token server cannot be asked") as caught:
        await platform.show()
    assert "hidden" not in f"{caught.value!r} {caught.value}"


# Who has used what


def test_uses_are_written_now_and_then(tmp_path: Path) -> None:
    clock = ManualClock(1_800_000_000.0)
    store = Store(tmp_path)
    usage = Usage(store, clock)
    before = store.changes("CredentialUsage")
    for number in range(1000):
        clock.advance(1)
        usage.note(ALICE.scope, "cred-1", User("tool", f"t-{number % 3}", f"n-{number % 3}"))
    assert store.changes("CredentialUsage") == before, "a call writes nothing"
    usage.flush()
    assert store.changes("CredentialUsage") == before + 1
    store.close()

    store = Store(tmp_path)
    usage = Usage(store, clock)
    usage.note(ALICE.scope, "cred-1", User("tool", "t-1", "n-1"))
    shown = usage.of(ALICE.scope, "cred-1")
    assert [(user["resourceId"], user["calls"]) for user in shown["users"]] == [
        ("t-0", 334),
        ("t-1", 334),
        ("t-2", 333),
    ]
    assert shown["lastUsedAt"] == shown["users"][0]["lastUsedAt"]
    assert usage.of(Scope("2", "cn-hangzhou"), "cred-1") == {"users": []}
    usage.note(ALICE.scope, "cred-2", TOOL)
    usage.clear("1")
    assert usage.of(ALICE.scope, "cred-2") == {"users": []}
    usage.forget(ALICE.scope, "cred-1")
    assert usage.of(ALICE.scope, "cred-1") == {"users": []}
    store.close()
