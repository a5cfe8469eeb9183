"""Tool sets, by the API of their own: OpenAPI documents and MCP servers, and what is said about them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.sse import sse_client

from agentrun.emulator import Emulator
from tests.emulator.echoing import echoing
from tests.emulator.mcp_clients import begun, text_of
from tests.emulator.mcp_servers import PLAIN, local, remote
from tests.emulator.signed import Account, account_of, client_of, refusal

SETS = "/2023-07-14/toolsets"
API = {
    "openapi": "3.0.0",
    "servers": [{"url": "https://example.com/v1"}],
    "paths": {"/items/{id}": {"get": {"operationId": "getItem"}, "put": {}}},
}
PARAMETER = {"encrypted": False, "in": "header", "key": "X-Key", "value": "sk-1"}
SPEC = {
    "schema": {"type": "OpenAPI", "detail": json.dumps(API)},
    "authConfig": {"type": "APIKey", "parameters": {"apiKeyParameter": PARAMETER}},
}


def toolset(name: str = "set", detail: Any = None, kind: str = "OpenAPI", **changes: Any) -> dict[str, Any]:
    text = detail if isinstance(detail, str) else json.dumps(detail or API)
    return {"name": name, "kind": "Toolset", "spec": {"schema": {"type": kind, "detail": text}}, **changes}


def done(account: Account, method: str, path: str, body: Any = None, **query: str) -> Any:
    answer = account.call(method, path, body, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_api_tells_its_tools_and_where_they_are(account: Account) -> None:
    created = done(account, "POST", SETS, toolset(description="what for", labels={"a": "b"}, spec=SPEC))
    shown = done(account, "GET", f"{SETS}/set")
    assert shown == created
    assert (shown["kind"], shown["generation"], shown["labels"]) == ("Toolset", 1, {"a": "b"})
    assert shown["spec"] == SPEC
    assert shown["createdTime"]
    assert shown["uid"].startswith("ts-")
    assert shown["status"]["phase"] == "READY"
    assert shown["status"]["outputs"] == {
        "urls": {"internetUrl": "https://example.com/v1"},
        "openApiTools": [
            {"method": "GET", "path": "/items/{id}", "toolId": "getItem", "toolName": "getItem"},
            {"method": "PUT", "path": "/items/{id}", "toolId": "put_items_id", "toolName": "put_items_id"},
        ],
    }


def test_an_update_counts_generations(account: Account) -> None:
    before = done(account, "POST", SETS, toolset())
    changed = done(account, "PUT", f"{SETS}/set", {**before, "description": "after"})
    assert (changed["description"], changed["generation"]) == ("after", 2)
    assert (changed["uid"], changed["createdTime"]) == (before["uid"], before["createdTime"])
    assert changed["status"]["observedGeneration"] == 2
    assert done(account, "DELETE", f"{SETS}/set")["name"] == "set"
    assert "tool set set does not exist" in refusal(account.call("GET", f"{SETS}/set"), 404)


def test_lists_find_by_keyword_and_labels(account: Account) -> None:
    done(account, "POST", SETS, toolset("one", labels={"a": "1", "b.c/d": "2"}))
    done(account, "POST", SETS, toolset("two", labels={"a": "1"}, description="the one for search"))
    done(account, "POST", SETS, toolset("three"))

    def names(**query: str) -> list[str]:
        return [each["name"] for each in done(account, "GET", SETS, **query)["data"]]

    assert names() == ["one", "two", "three"]
    assert names(keyword="one") == ["one", "two"]
    assert names(labelSelector="a=1") == ["one", "two"]
    assert names(labelSelector="a=1,b.c/d=2") == ["one"]
    assert names(labelSelector="a=2") == []
    page = done(account, "GET", SETS, pageNumber="2", pageSize="2")
    assert (page["totalCount"], page["pageNumber"], page["pageSize"], len(page["data"])) == (3, 2, 2, 1)
    assert "labelSelector must be like" in refusal(account.call("GET", SETS, None, labelSelector="a"), 400)


def test_secrets_are_masked_in_a_list(account: Account) -> None:
    done(account, "POST", SETS, toolset(spec=SPEC))
    detail = remote("https://example.com/mcp", headers={"Authorization": "sk-2"})
    done(account, "POST", SETS, toolset("other", detail, "MCP"))
    listed = account.call("GET", SETS).text
    assert "sk-1" not in listed
    assert "sk-2" not in listed
    assert json.loads(listed)["data"][0]["spec"]["schema"] == SPEC["schema"]


@pytest.mark.asyncio
async def test_a_server_that_is_a_program_runs_here(account: Account) -> None:
    shown = done(account, "POST", SETS, toolset(detail=local("python3", "-c", PLAIN, A="1"), kind="MCP"))
    outputs = shown["status"]["outputs"]
    assert {"name": "count", "inputSchema": {"type": "object"}} in outputs["tools"]
    config = outputs["mcpServerConfig"]
    assert config == {"url": f"{account.client.base_url}/toolsets/{shown['uid']}/sse", "transport": "sse"}
    # As the official client does: unsigned, and with nothing but the URL.
    async with sse_client(config["url"]) as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        assert text_of(await session.call_tool("count", {})) == "1"
    assert begun(account, "/toolsets/set/mcp").call("environment")["A"] == "1"


def test_a_server_that_does_not_come_up_is_no_tool_set(account: Account) -> None:
    detail = local("python3", "-c", "raise SystemExit('no key given')")
    assert "no key given" in refusal(account.call("POST", SETS, toolset(detail=detail, kind="MCP")), 503)
    assert done(account, "GET", SETS)["totalCount"] == 0


def test_a_remote_server_is_called_through_the_emulator(account: Account) -> None:
    with echoing() as url:
        detail = remote(f"{url}/mcp", headers={"Authorization": "sk-2"})
        shown = done(account, "POST", SETS, toolset(detail=detail, kind="MCP"))
        config = shown["status"]["outputs"]["mcpServerConfig"]
        assert config["transport"] == "streamable-http"
        seen = httpx.post(config["url"], json={}, trust_env=False).json()
    assert (seen["path"], seen["headers"]["authorization"]) == ("/mcp", "sk-2")


def test_a_uid_is_no_key_where_there_are_secrets() -> None:
    with Emulator(secret="s-of-our-own") as emulator, client_of(emulator) as client:
        account = account_of(emulator, client)
        shown = done(account, "POST", SETS, toolset(detail=remote("http://127.0.0.1:1/mcp"), kind="MCP"))
        url = shown["status"]["outputs"]["mcpServerConfig"]["url"]
        assert "no Agentrun-Authorization" in refusal(client.post(url, json={}), 401)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (toolset(kind="Other"), "spec.schema.type must be OpenAPI or MCP"),
        (toolset(detail="{"), "spec.schema.detail is neither JSON nor YAML"),
        (toolset(detail={"openapi": "3.0.0", "paths": {}}), "spec.schema.detail.servers is required"),
        (toolset(detail="{}", kind="MCP"), "spec.schema.detail must be JSON like"),
        (toolset(detail='{"mcpServers": {"a": {}}}', kind="MCP"), "needs the url or the command"),
        ({"name": "set", "spec": {}}, "spec.schema is required"),
        (toolset(label={}), "label is not a field of CreateToolsetInput: did you mean labels?"),
    ],
)
def test_what_cannot_work_is_refused(account: Account, body: dict[str, Any], text: str) -> None:
    assert text in refusal(account.call("POST", SETS, body), 400)
    assert done(account, "GET", SETS)["totalCount"] == 0


def test_an_api_is_not_called_here(account: Account) -> None:
    done(account, "POST", SETS, toolset())
    refusal(account.data("POST", "/toolsets/set/mcp"), 409)
    refusal(account.data("POST", "/toolsets/none/mcp"), 404)
    assert "already exists" in refusal(account.call("POST", SETS, toolset()), 409)


def test_it_is_signed_like_the_control_plane(account: Account) -> None:
    request = account.control_request("GET", SETS)
    request.headers["authorization"] = request.headers["authorization"][:-1] + "x"
    refusal(account.client.send(request), 401)
    assert done(account, "GET", SETS) == {"data": [], "pageNumber": 1, "pageSize": 10, "totalCount": 0}
