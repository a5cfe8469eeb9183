"""Tokens of OAuth2, against a real token server: asked for once, kept, renewed, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from agentrun._core.authorizer import Authorizer
from agentrun._core.blocking import is_blocking, run
from agentrun._core.credential_auth import CredentialAuth
from agentrun._core.outbound import Outbound, Outgoing
from agentrun.errors import CredentialError
from tests.token_server import TokenServer, token_server
from tests.unit.servers import answer

REQUEST = Outgoing("GET", "http://x/")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Tool:
    """A credential whose tokens are asked for over TCP, as the one who shows it sees it."""

    def __init__(self, server: TokenServer, **parts: str) -> None:
        fields = {"grantType": "client_credentials", "tokenUrl": server.token_url, "clientId": server.client_id}
        self.parts = {**fields, **parts}
        self.secret = server.client_secret
        self.enabled = True
        self.clock = Clock()
        self.rotated: list[str] = []
        self.authorizer = Authorizer(self._read, self._post, rotated=self._keep, clock=self.clock)

    async def _read(self) -> Outbound:
        public = {"authType": "oauth2", "authConfig": self.parts}
        return Outbound("one", "jwt", public, self.secret, self.enabled)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if is_blocking():
            reply = httpx.post(url, headers=dict(headers), content=body, trust_env=False)  # noqa: ASYNC210  # That is the mode.
        else:
            reply = await asyncio.to_thread(httpx.post, url, headers=dict(headers), content=body, trust_env=False)
        return reply.status_code, reply.content

    async def _keep(self, refresh_token: str) -> None:
        self.rotated.append(refresh_token)
        self.parts["refreshToken"] = refresh_token

    async def token(self) -> str:
        shown = await self.authorizer.proof(REQUEST)
        return shown.headers["Authorization"].removeprefix("Bearer ")


@pytest.mark.asyncio
@pytest.mark.parametrize("client_auth", ["basic", "body"])
async def test_a_client_asks_once(client_auth: str) -> None:
    with token_server(client_id="a b:c", client_secret="p%q+ü&") as server:
        tool = Tool(server, clientAuth=client_auth, scope="read write", audience="them")
        assert [await tool.token() for _ in range(3)] == server.given * 3
        assert len(server.given) == 1
        asked = server.asked[0]
        assert (asked["grant_type"], asked["scope"], asked["audience"]) == ("client_credentials", "read write", "them")
        assert ("client_secret" in asked) is (client_auth == "body")


@pytest.mark.asyncio
@pytest.mark.parametrize(("lifetime", "good_for"), [(3600, 3540), (100, 90), (10, 9)])
async def test_a_token_is_renewed_shortly_before_it_ends(lifetime: int, good_for: int) -> None:
    with token_server(lifetime=lifetime) as server:
        tool = Tool(server)
        first = await tool.token()
        tool.clock.now += good_for - 0.1
        assert await tool.token() == first
        tool.clock.now += 0.2
        assert await tool.token() == server.given[1] != first


@pytest.mark.asyncio
async def test_a_token_without_an_end_is_kept() -> None:
    with token_server(lifetime=None) as server:
        tool = Tool(server)
        first = await tool.token()
        tool.clock.now += 10**6
        assert await tool.token() == first


@pytest.mark.asyncio
async def test_fifty_at_once_ask_once() -> None:
    with token_server(delay=0.2) as server:
        tool = Tool(server)
        assert len(set(await asyncio.gather(*(tool.token() for _ in range(50))))) == 1
        assert len(server.given) == 1


def test_threads_at_once_ask_once() -> None:
    with token_server(delay=0.2) as server:
        tool = Tool(server)
        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(run, [tool.token() for _ in range(16)]))) == 1
        assert len(server.given) == 1


@pytest.mark.asyncio
async def test_a_refresh_token_is_used_and_its_successor_kept() -> None:
    with token_server(refresh_tokens={"r-1"}, rotates=True) as server:
        tool = Tool(server, grantType="refresh_token", refreshToken="r-1")
        first = await tool.token()
        assert tool.rotated == [*server.refresh_tokens]
        assert await tool.token() == first, "the successor is no other grant"
        tool.clock.now += 3600
        assert await tool.token() == server.given[1]
        assert server.asked[1]["refresh_token"] == tool.rotated[0]
        assert len(tool.rotated) == 2


@pytest.mark.asyncio
async def test_another_secret_counts_at_once() -> None:
    with token_server() as server:
        tool = Tool(server)
        await tool.token()
        server.client_secret = tool.secret = "another"
        assert await tool.token() == server.given[1]
        tool.enabled = False
        with pytest.raises(CredentialError, match="disabled"):
            await tool.token()


@pytest.mark.asyncio
async def test_a_refused_token_is_asked_for_anew_once() -> None:
    with token_server() as server:
        auth = CredentialAuth(Tool(server).authorizer)
        async with httpx.AsyncClient(base_url=server.url, auth=auth, trust_env=False) as client:
            assert (await client.get("/resource")).status_code == 200
            server.valid.clear()
            assert (await client.get("/resource")).status_code == 200
            assert len(server.given) == 2
            server.valid.clear()
            answers = await asyncio.gather(*(client.get("/resource") for _ in range(10)))
            assert {found.status_code for found in answers} == {200}
            assert len(server.given) == 3, "ten that were refused the same token ask for one"


@pytest.mark.asyncio
async def test_a_resource_that_always_refuses_is_asked_twice() -> None:
    with token_server() as server:
        auth = CredentialAuth(Tool(server).authorizer)
        server.broken = None

        def revoking(line: Any, request: Any) -> bool:
            server.valid.clear()
            return server.behave(line, request)

        assert server.server
        server.server.then(revoking)
        async with httpx.AsyncClient(base_url=server.url, auth=auth, trust_env=False) as client:
            assert (await client.get("/resource")).status_code == 401
        assert (len(server.seen), len(server.given)) == (2, 2)


BROKEN = {
    "refuses": (answer({"error": "invalid_client", "error_description": "hidden"}, 401), r"401 \(invalid_client\)"),
    "says its error in prose": (answer({"error": "your secret hidden is wrong"}, 400), "status 400"),
    "fails": (answer(b"hidden", 500), "status 500"),
    "gives nothing": (answer({"token_type": "bearer"}), "without an access token"),
    "gives a list": (answer(b"[1]"), "without an access token"),
    "gives no JSON": (answer(b"<hidden>"), "without an access token"),
    "gives another kind": (answer({"access_token": "hidden", "token_type": "mac"}), "no bearer token"),
    "fails with 200": (answer({"error": "invalid_grant"}), "invalid_grant"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("how", BROKEN)
async def test_a_token_server_that(how: str) -> None:
    behaviour, reason = BROKEN[how]
    with token_server(client_secret="hidden") as server:
        tool = Tool(server)
        server.broken = behaviour
        with pytest.raises(CredentialError, match=reason) as caught:
            await tool.token()
        assert "hidden" not in f"{caught.value!r} {caught.value}"
        server.broken = None
        assert await tool.token(), "a failure is not kept"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"grantType": "password"}, "grantType must be one of"),
        ({"tokenUrl": "ftp://x/hidden"}, "tokenUrl must be"),
        ({"tokenUrl": ""}, "tokenUrl must be"),
        ({"clientId": ""}, "clientId is required"),
        ({"clientAuth": "magic"}, "clientAuth must be one of"),
        ({"grantType": "refresh_token"}, "refreshToken is required"),
    ],
)
async def test_a_grant_that_is_none(parts: dict[str, str], reason: str) -> None:
    with token_server() as server:
        with pytest.raises(CredentialError, match=reason):
            await Tool(server, **parts).token()
        assert server.asked == []
