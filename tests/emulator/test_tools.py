"""Tools on the control plane: what is kept, hidden, found and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator import Emulator, ManualClock
from tests.emulator import bodies
from tests.emulator.mcp_clients import begun
from tests.emulator.mcp_servers import PLAIN, TOOLS, local, made, packaged, remote, settled
from tests.emulator.signed import CREDENTIALS, Account, account_of, client_of

OPENAPI: dict[str, Any] = {"openapi": "3.0.0", "servers": [{"url": "https://example.com"}], "paths": {}}
REMOTE = {"toolType": "MCP", "createMethod": "MCP_REMOTE", "protocolSpec": remote("https://example.com/mcp")}
LOCAL = {"toolType": "MCP", "createMethod": "MCP_LOCAL", "protocolSpec": local("python3")}
FUNCTION = {"toolType": "FUNCTIONCALL", "createMethod": "OPENAPI_IMPORT", "protocolSpec": json.dumps(OPENAPI)}
SKILL = {"toolType": "SKILL", "createMethod": "CODE_PACKAGE"}
CODE = {"toolType": "MCP", "createMethod": "CODE_PACKAGE"}


def zipped(*names: str) -> dict[str, Any]:
    """A code configuration with a zip of empty files and no command."""
    return {"zipFile": bodies.code(bodies.zipped(dict.fromkeys(names, "")))["zipFile"]}


def test_a_tool_goes_through_its_states(timed: Account, clock: ManualClock) -> None:
    timed = timed.at(clock.now())
    created = timed.done("POST", TOOLS, {"toolName": "tool", **REMOTE})
    assert (created["status"], created["toolId"][:5]) == ("CREATING", "tool-")
    assert timed.done("GET", f"{TOOLS}/tool")["status"] == "CREATING"
    clock.advance(5)
    assert timed.done("GET", f"{TOOLS}/tool")["status"] == "READY"


def test_secrets_are_masked_in_a_list_and_sealed_in_the_store(tmp_path: Path) -> None:
    spec = remote("https://example.com/mcp", headers={"Authorization": "sk-in-a-header"})
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        account = account_of(emulator, client)
        made(account, {"toolName": "tool", **REMOTE, "protocolSpec": spec, "environmentVariables": {"K": "sk-in-env"}})
        shown = account.done("GET", f"{TOOLS}/tool")
        assert (shown["protocolSpec"], shown["environmentVariables"]) == (spec, {"K": "sk-in-env"})
        listed = account.done("GET", TOOLS)["items"][0]
    assert listed["environmentVariables"] == {"K": "******"}
    server = json.loads(listed["protocolSpec"])["mcpServers"]["server"]
    assert server == {"url": "https://example.com/mcp", "headers": {"Authorization": "******"}}
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"example.com" not in kept
    assert b"sk-in-" not in kept


def test_a_hosted_tool_works_again_after_a_restart(tmp_path: Path) -> None:
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        account = account_of(emulator, client)
        made(account, packaged(PLAIN))
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        again = account_of(emulator, client, account.key)
        assert again.done("GET", f"{TOOLS}/tool")["status"] == "READY"
        assert begun(again, "/tools/tool/mcp").call("count") == 1


def test_lists_find_by_name_kind_and_workspace(account: Account) -> None:
    account.done("POST", TOOLS, {"toolName": "a", "workspaceId": "ws-1", **REMOTE})
    account.done("POST", TOOLS, {"toolName": "b", "workspaceId": "ws-2", **FUNCTION})

    def names(**query: str) -> list[str]:
        return [item["toolName"] for item in account.done("GET", TOOLS, None, **query)["items"]]

    assert names() == ["a", "b"]
    assert names(toolName="a") == ["a"]
    assert names(toolType="FUNCTIONCALL") == ["b"]
    assert names(workspaceId="ws-2") == ["b"]
    assert names(workspaceIds="ws-1,ws-9") == ["a"]
    assert names(pageNumber="2", pageSize="1") == ["b"]


def test_an_update_keeps_what_it_does_not_name(account: Account) -> None:
    config = {"proxyEnabled": True, "sessionAffinity": "MCP_SSE"}
    made(account, {"toolName": "tool", **REMOTE, "mcpConfig": config, "description": "before"})
    account.done("PUT", f"{TOOLS}/tool", {"mcpConfig": {"proxyEnabled": False}, "description": "after"})
    shown = settled(account, "tool")
    assert shown["mcpConfig"] == {"proxyEnabled": False, "sessionAffinity": "MCP_SSE"}
    assert (shown["description"], shown["protocolSpec"]) == ("after", REMOTE["protocolSpec"])
    assert shown["updatedAt"] > shown["createdAt"]


def test_an_upload_is_not_sent_back(account: Account) -> None:
    made(account, packaged(PLAIN))
    shown = account.done("GET", f"{TOOLS}/tool")["codeConfiguration"]
    assert shown["command"] == ["python3", "main.py"]
    assert "zipFile" not in shown


@pytest.mark.parametrize(
    ("tool", "status", "text"),
    [
        ({**REMOTE, "toolType": "OTHER"}, 400, "toolType must be one of MCP, FUNCTIONCALL, SKILL, not OTHER"),
        ({**FUNCTION, "createMethod": "MCP_LOCAL"}, 400, "one of OPENAPI_IMPORT, CODE_PACKAGE for a FUNCTIONCALL"),
        ({**REMOTE, "protocolSpec": None}, 400, "protocolSpec must be JSON like"),
        ({**REMOTE, "protocolSpec": "{"}, 400, "protocolSpec must be JSON like"),
        ({**REMOTE, "protocolSpec": '{"mcpServers": {"a": {}, "b": {}}}'}, 400, "exactly one server"),
        ({**REMOTE, "protocolSpec": local("python3")}, 400, "needs the url of its server"),
        ({**REMOTE, "protocolSpec": remote("ftp://x/")}, 400, "server.url must be an absolute URL"),
        ({**REMOTE, "protocolSpec": remote("https://x/", transportType="pigeon")}, 400, "must be sse or streamable"),
        ({**REMOTE, "protocolSpec": remote("https://x/", headers={"a": "1\n2"})}, 400, "cannot be sent as a header"),
        ({**LOCAL, "protocolSpec": remote("https://x/")}, 400, "needs the command of its server"),
        ({**LOCAL, "credentialName": "key"}, 501, "give it what it needs in environmentVariables"),
        ({**REMOTE, "credentialName": "none"}, 400, "there is no credential none; create it first"),
        ({**REMOTE, "mcpConfig": {"sessionAffinity": "STICKY"}}, 400, "sessionAffinity must be one of"),
        ({**REMOTE, "mcpConfig": {"sessionAffinityConfig": "[]"}}, 400, "must be a JSON object"),
        ({**REMOTE, "mcpConfig": {"sessionAffinityConfig": '{"x": 1}'}}, 501, "the emulator heeds sessionIdle"),
        (
            {**REMOTE, "mcpConfig": {"mcpProxyConfiguration": {"hooks": [{"event": "e", "url": "https://x/"}]}}},
            501,
            "hooks: what they are sent is not public",
        ),
        (
            {**REMOTE, "mcpConfig": {"boundConfiguration": {"boundTools": [{"toolName": "t"}]}}},
            501,
            "makes no MCP tools out of HTTP APIs",
        ),
        ({**REMOTE, "createMethod": "OPENAPI_IMPORT"}, 501, "use a FUNCTIONCALL tool"),
        ({**FUNCTION, "protocolSpec": "{"}, 400, "neither JSON nor YAML"),
        ({**FUNCTION, "protocolSpec": '{"swagger": "2.0"}'}, 400, "must be an OpenAPI 3 document"),
        ({**FUNCTION, "protocolSpec": '{"openapi": "3.0.0", "paths": {}}'}, 400, "servers is required"),
        (
            {**FUNCTION, "protocolSpec": '{"openapi": "3.0.0", "paths": {}, "servers": [{"url": "/v1"}]}'},
            400,
            "servers[0].url must be an absolute URL",
        ),
        ({**FUNCTION, "mcpConfig": {"proxyEnabled": True}}, 400, "mcpConfig is for MCP tools"),
        ({**FUNCTION, "createMethod": "CODE_PACKAGE", "protocolSpec": None}, 400, "port is required"),
        ({**SKILL, "codeConfiguration": zipped("README.md")}, 400, "needs a SKILL.md"),
        (SKILL, 400, "codeConfiguration.zipFile is required"),
        ({**CODE, "codeConfiguration": zipped("main.py")}, 400, "codeConfiguration.command is required"),
        ({**CODE, "createMethod": "MCP_BUNDLE", "codeConfiguration": zipped("a")}, 400, "needs a manifest.json"),
        ({**CODE, "codeConfiguration": {"ossBucketName": "b"}}, 501, "no OSS buckets"),
        ({**CODE, "port": 70000}, 400, "port must be from 1 to 65535"),
        ({**REMOTE, "containerConfiguration": {"image": "x"}}, 501, "not from container images"),
        ({**REMOTE, "nasConfig": {"mountPoints": [{"mountDir": "/a"}]}}, 501, "cannot mount network storage"),
        ({**REMOTE, "toolNam": "x"}, 400, "toolNam is not a field"),
    ],
)
def test_what_cannot_work_is_refused(account: Account, tool: dict[str, Any], status: int, text: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    body = {name: value for name, value in {"toolName": "tool", **tool}.items() if value is not None}
    assert text in account.refused(status, "POST", TOOLS, body)
    assert account.done("GET", TOOLS)["total"] == 0


def test_names_are_taken_and_missed(account: Account) -> None:
    made(account, {"toolName": "tool", **REMOTE})
    assert "tool tool already exists" in account.refused(409, "POST", TOOLS, {"toolName": "tool", **REMOTE})
    for method, body in (("GET", None), ("PUT", {"description": "x"}), ("DELETE", None)):
        assert "tool none does not exist" in account.refused(404, method, f"{TOOLS}/none", body)
    assert "protocolSpec of an MCP_REMOTE" in account.refused(
        400, "PUT", f"{TOOLS}/tool", {"protocolSpec": local("python3")}
    )
    account.done("DELETE", f"{TOOLS}/tool")
    account.refused(404, "GET", f"{TOOLS}/tool")
