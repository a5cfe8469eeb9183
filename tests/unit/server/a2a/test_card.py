"""The card of an agent: where it is, what it says, and that clients of both lines can read it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from agentrun.server import A2AProtocolConfig, A2ASkill, AgentApp, AgentRunServer, ServerConfig
from tests.gateway.serving import LOOPS, on_port, plain_client
from tests.unit.server.a2a.clients import FIRST_LINE, LINES, talk, text, whole
from tests.unit.server.agents import agent
from tests.unit.server.serving import Served, serving

CARD = "/.well-known/agent-card.json"
FORWARDED = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "agents.test, inner.test",
    "x-forwarded-prefix": "/ada/",
}


def card(config: A2AProtocolConfig | None = None, path: str = CARD, **headers: str) -> Any:
    with serving(agent("x"), ServerConfig(a2a=config)) as served:
        found = served.http.get(f"{served.root}{path}", headers=headers)
        assert found.status_code == 200
        return {**found.json(), "root": served.root}


@pytest.mark.parametrize("path", [CARD, "/.well-known/agent.json", "/a2a/.well-known/agent-card.json"])
def test_it_is_where_clients_look_for_it_and_names_the_url_of_the_request(path: str) -> None:
    found = card(path=path)
    url = f"{found['root']}/a2a"
    assert (found["url"], found["protocolVersion"], found["preferredTransport"]) == (url, "0.3.0", "JSONRPC")
    interfaces = [
        (each["url"], each["protocolBinding"], each["protocolVersion"]) for each in found["supportedInterfaces"]
    ]
    assert interfaces == [(url, "JSONRPC", "1.0"), (url, "JSONRPC", "0.3")]
    capabilities = found["capabilities"]
    assert (capabilities["streaming"], capabilities["pushNotifications"]) == (True, False)
    assert [skill["id"] for skill in found["skills"]] == ["chat"]
    assert "securitySchemes" not in found


def test_it_says_what_the_configuration_says() -> None:
    skill = A2ASkill(id="add", name="Adding", description="Adds numbers", tags=["sums"], examples=["1 + 1"])
    config = A2AProtocolConfig(name="Ada", description="Counts", version="7", skills=[skill])
    found = card(config)
    assert (found["name"], found["description"], found["version"]) == ("Ada", "Counts", "7")
    assert found["skills"] == [skill.model_dump()]


URLS: list[Any] = [
    ({}, FORWARDED, "https://{host}/a2a"),  # uvicorn trusts this machine with the scheme, and nothing else.
    ({"trust_forwarded": True}, FORWARDED, "https://agents.test/ada/a2a"),
    ({"trust_forwarded": True}, {}, "http://{host}/a2a"),
    ({}, {"host": "agents.test"}, "http://agents.test/a2a"),
    ({"prefix": "/agents/ada"}, {}, "http://{host}/agents/ada"),
    ({"public_url": "https://agents.test/a2a", "trust_forwarded": True}, FORWARDED, "https://agents.test/a2a"),
]


@pytest.mark.parametrize(("config", "headers", "url"), URLS)
def test_its_url_is_right_behind_proxies(config: Any, headers: dict[str, str], url: str) -> None:
    found = card(A2AProtocolConfig(**config), **headers)
    assert found["url"] == url.format(host=found["root"].removeprefix("http://"))


@pytest.mark.parametrize("line", LINES)
def test_clients_find_an_agent_by_it_wherever_it_is(line: str) -> None:
    app = FastAPI()
    agent_app = AgentRunServer(agent("Hello"), config=ServerConfig(a2a=A2AProtocolConfig(prefix="/x"))).as_fastapi_app()
    app.mount("/agents", agent_app)
    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        below = _Below(port, http)
        assert whole(below, line).text == "Hello"


class _Below(Served):
    @property
    def root(self) -> str:
        return f"{super().root}/agents"


def test_it_can_be_switched_off() -> None:
    with serving(agent("x"), ServerConfig(a2a=A2AProtocolConfig(enable=False))) as served:
        assert served.http.get(f"{served.root}{CARD}").status_code == 404
        assert served.post("/a2a", {}).status_code == 404


@pytest.mark.parametrize("line", LINES)
def test_it_says_which_keys_are_asked_for_and_everybody_may_read_it(line: str) -> None:
    with serving(agent("Hello"), ServerConfig(api_keys=[SecretStr("k1")])) as served:
        found = served.http.get(f"{served.root}{CARD}").json()
        answers = [
            talk(served, line, lambda speaker: speaker.send(text("hi")), **{name: value}).text
            for name, value in (("authorization", "Bearer k1"), ("x-api-key", "k1"))
        ]
        assert served.post("/a2a", {}).status_code == 401
    assert answers == ["Hello", "Hello"]
    assert found["security"] == [{"bearer": []}, {"apiKey": []}]
    schemes = [(scheme["type"], scheme.get("scheme") or scheme["name"]) for scheme in found["securitySchemes"].values()]
    assert schemes == [("http", "bearer"), ("apiKey", "x-api-key")]


@pytest.mark.parametrize("line", LINES)
def test_the_endpoint_may_be_the_root(line: str) -> None:
    with serving(agent("Hello"), ServerConfig(a2a=A2AProtocolConfig(prefix="/"))) as served:
        assert whole(served, line).text == "Hello"


def test_an_application_gives_it_its_name() -> None:
    app = AgentApp(app_name="Ada the First", app_description="Counts")

    @app.query()
    def answer(self: Any, msgs: Any, request: Any) -> str:
        return "x"

    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        found = http.get(f"http://127.0.0.1:{port}{CARD}").json()
    assert (found["name"], found["description"]) == ("Ada the First", "Counts")


@pytest.mark.skipif(not FIRST_LINE, reason="the types of 0.3 read it")
def test_the_types_of_the_old_line_read_all_of_it() -> None:
    with serving(agent("x"), ServerConfig(api_keys=[SecretStr("k1")])) as served:
        document = httpx.get(f"{served.root}{CARD}", trust_env=False).json()
    types: Any = import_module("a2a.types")
    found = types.AgentCard.model_validate(document)
    assert found.security_schemes["bearer"].root.scheme == "bearer"
