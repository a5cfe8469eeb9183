"""Writes docs/reference/operations.md: what the emulator does with each operation, found by asking it.

usage: python scripts/operations_table.py [--check]
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import httpx
from starlette.routing import BaseRoute, Route, WebSocketRoute

from agentrun.emulator import Settings, build_app
from agentrun.emulator.app import App
from agentrun.emulator.guest.app import Guest
from agentrun.emulator.wire.table import DEVS_CONTRACT, Operation, table

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "operations.md"
COMMAND = "python scripts/operations_table.py"

# What no program can find out: which of its fields an operation heeds, and what is particular to it here.
REMARKS = {
    "ActivateTemplateMCP": "of a CodeInterpreter template; `process_tty` answers 501",
    "CreateAgentRuntime": "heeds code, command, port, environment, cpu, memory, health check and network mode, and "
    "only stores the rest; code on OSS and container images answer 501",
    "CreateAgentRuntimeEndpoint": "heeds target version and weights, and only stores the rest",
    "CreateCredential": "encrypted at rest; an inbound one of a template is asked of nobody",
    "CreateKnowledgeBase": "documents that it is given here are searched here; else its provider is asked by the SDK",
    "CreateModelProxy": "heeds mode, credential and `proxyConfig`, and only stores the rest; `policies.gateway` and an "
    "endpoint's `concurrencyLimit` and `modelMapping` are not on the cloud",
    "CreateModelService": "`networkConfiguration` is only stored; calls go from the SDK to the provider",
    "CreateSandbox": "of a CodeInterpreter template, with the docker backend also of a CustomImage; others answer 501",
    "CreateTemplate": "heeds type, cpu, memory, disk, environment, timeouts, network mode, container and storage, and "
    "only stores the rest",
    "CreateTool": "heeds kind, specification, code, command, environment, port, cpu, memory, network mode, credential "
    "and sessions, and only stores the rest; containers, hooks, bound tools and storage answer 501",
    "DeleteModelService": "refused while a model proxy uses it",
    "GetAccessToken": "opens the data plane of the whole account for an hour",
    "ListModelProviders": "a list that ships with the package: public URLs, typical models, servers of one's own",
}
# Why an operation is not served, by the resource it is about.
REASONS = {
    "browsers": "browser sandboxes are not here yet",
    "code-interpreters": "not here yet; use a template and a sandbox",
    "custom-domains": "the emulator is on loopback, where no domain leads",
    "flows": "flows are not here yet",
    "im-bots": "a bot needs a chat service on the internet",
    "memory-collections": "memory collections are not here yet",
    "workspaces": "workspaces are not here yet; a `workspaceId` is only stored",
}
NOT_ON_THE_CLOUD = "not on the cloud"
DATA_PLANE = (
    ("POST /models/{model_proxy}/v1/{question}", "ask a model proxy: chat/completions, embeddings and so on", ""),
    ("GET /models/{model_proxy}/v1/models", "list the models of a model proxy", ""),
    ("GET /models/{model_proxy}/stats", "read what a model proxy has done", NOT_ON_THE_CLOUD),
    ("POST /model-services/{model_service}/v1/{question}", "ask a model service, whose key stays", NOT_ON_THE_CLOUD),
    ("POST /knowledgebases/{knowledge_base}/documents", "give a knowledge base documents", NOT_ON_THE_CLOUD),
    ("GET /knowledgebases/{knowledge_base}/documents", "list its documents", NOT_ON_THE_CLOUD),
    ("DELETE /knowledgebases/{knowledge_base}/documents/{document}", "take a document out", NOT_ON_THE_CLOUD),
    ("POST /{workspace}/index/retrieve", "search documents as Model Studio does", "of documents given here"),
    ("POST /", "search documents as AnalyticDB does (`QueryContent`)", "of documents given here"),
    ("POST /ragflow/{knowledge_base_id}/api/v1/retrieval", "search documents as RagFlow does", NOT_ON_THE_CLOUD),
    ("ANY /agent-runtimes/{name}/endpoints/{endpoint}/invocations/{path}", "call any route of the agent", ""),
    ("GET /agent-runtimes/{name}/endpoints/{endpoint}/logs", "read what the agent wrote", NOT_ON_THE_CLOUD),
    ("ANY /tools/{tool}/mcp", "call an MCP tool by streamable HTTP", ""),
    ("GET /tools/{tool}/sse", "call an MCP tool by HTTP with SSE", ""),
    ("ANY /tools/{tool}/{path}", "call a function of an HTTP API", ""),
    ("GET /tools/{tool}/download", "fetch the files of a skill", ""),
    ("GET /tool-logs/{tool}", "read what a tool's server wrote", NOT_ON_THE_CLOUD),
    ("ANY /templates/{template}/mcp", "call a template's MCP server by streamable HTTP", ""),
    ("GET /templates/{template}/sse", "call a template's MCP server by HTTP with SSE", ""),
    ("ANY /toolsets/{tool_set}/mcp", "call the MCP server of a tool set by streamable HTTP", NOT_ON_THE_CLOUD),
    ("GET /toolsets/{tool_set}/sse", "call the MCP server of a tool set by HTTP with SSE", NOT_ON_THE_CLOUD),
    ("POST /scripted/v1/chat/completions", "ask the scripted model", NOT_ON_THE_CLOUD),
    ("POST /scripted/v1/responses", "ask the scripted model by the responses API", NOT_ON_THE_CLOUD),
    ("POST /scripted/v1/embeddings", "turn texts into vectors", NOT_ON_THE_CLOUD),
    ("POST /scripted/v1/rerank", "put documents in the order of a query", NOT_ON_THE_CLOUD),
    ("POST /scripted/v1/moderations", "flag what the script names", NOT_ON_THE_CLOUD),
    ("GET /scripted/v1/models", "list the scripted models", NOT_ON_THE_CLOUD),
)
# What is below `/sandboxes`; the second part is not on the cloud.
SANDBOXES = {
    "POST ": "start a sandbox",
    "GET /{sandbox_id}": "read a sandbox",
    "DELETE /{sandbox_id}": "end a sandbox and forget it",
    "POST /{sandbox_id}/stop": "end a sandbox and keep its record",
    "GET /{sandbox_id}/health": "ask whether it is well",
    "POST /{sandbox_id}/contexts": "make a context",
    "GET /{sandbox_id}/contexts": "list the contexts",
    "GET /{sandbox_id}/contexts/{context_id}": "read a context",
    "DELETE /{sandbox_id}/contexts/{context_id}": "end a context",
    "POST /{sandbox_id}/contexts/execute": "execute code",
    "GET /{sandbox_id}/files": "read a file",
    "POST /{sandbox_id}/files": "write a file",
    "GET /{sandbox_id}/filesystem": "list a folder",
    "GET /{sandbox_id}/filesystem/stat": "read about a file",
    "POST /{sandbox_id}/filesystem/mkdir": "make a folder",
    "POST /{sandbox_id}/filesystem/move": "move a file or folder",
    "POST /{sandbox_id}/filesystem/remove": "remove a file or folder",
    "POST /{sandbox_id}/filesystem/upload": "send a file as a form",
    "GET /{sandbox_id}/filesystem/download": "fetch a file, or a range of it",
    "POST /{sandbox_id}/processes/cmd": "run a command to its end",
    "WS /{sandbox_id}/processes/tty": "open a terminal",
    "GET /{sandbox_id}/processes": "list the processes",
    "GET /{sandbox_id}/processes/{pid}": "read a process",
    "DELETE /{sandbox_id}/processes/{pid}": "end a process",
}
SANDBOX_EXTENSIONS = {
    "POST /{sandbox_id}/pause": "freeze it",
    "POST /{sandbox_id}/resume": "let it go on",
    "POST /{sandbox_id}/timeout": "set when it ends",
    "PUT /{sandbox_id}/network": "change what it may reach",
    "PATCH /{sandbox_id}/metadata": "change its metadata",
    "GET /{sandbox_id}/capabilities": "ask what it can do",
    "GET /{sandbox_id}/credentials": "read which credentials it used and what was refused",
    "GET /{sandbox_id}/patch": "read the changes to a mount as a diff",
    "POST /{sandbox_id}/filesystem/signed-url": "make a URL that opens one file for a time",
    "ANY /{sandbox_id}/ports/{port}/{path}": "call a server that runs inside, HTTP or websocket",
    "POST /{sandbox_id}/contexts/{context_id}/restart": "give a context a fresh state",
    "POST /{sandbox_id}/contexts/{context_id}/interrupt": "stop what a context executes",
    "POST /{sandbox_id}/contexts/{context_id}/checkpoint": "remember variables and files",
    "GET /{sandbox_id}/contexts/{context_id}/checkpoints": "list what is remembered",
    "DELETE /{sandbox_id}/contexts/{context_id}/checkpoints/{checkpoint_id}": "forget a checkpoint",
    "POST /{sandbox_id}/contexts/{context_id}/rollback": "go back to a checkpoint",
    "POST /{sandbox_id}/contexts/{context_id}/fork": "clone a context",
    "POST /{sandbox_id}/files/batch": "write and read many files",
    "PUT /{sandbox_id}/filesystem/content": "stream a file up",
    "GET /{sandbox_id}/filesystem/search": "find files by name and content",
    "POST /{sandbox_id}/filesystem/permissions": "change mode and owner",
    "GET /{sandbox_id}/filesystem/watch": "be told of changes",
    "POST /{sandbox_id}/processes": "start a process in the background",
    "POST /{sandbox_id}/processes/{pid}/signal": "signal a process",
    "POST /{sandbox_id}/processes/{pid}/stdin": "write to a process",
    "GET /{sandbox_id}/processes/{pid}/output": "follow what a process writes",
    "GET /{sandbox_id}/processes/{pid}/wait": "wait for the end of a process",
}
# Answered by the gateway and no route of its own; and what only the gateway asks the inside for.
AT_THE_GATEWAY = ("POST ", "POST /{sandbox_id}/filesystem/signed-url", "ANY /{sandbox_id}/ports/{port}/{path}")
INTERNAL = ("GET /{sandbox_id}/filesystem/patch",)


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    call: str
    state: str
    remark: str = ""

    def __str__(self) -> str:
        return f"| {self.name} | `{self.call}` | {self.state} | {self.remark} |"


def client_of(app: App) -> httpx.AsyncClient:
    """A client for the emulator in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def refusal(client: httpx.AsyncClient, call: str) -> str:
    """The reason that a call is answered 501 with; raises ValueError for another answer."""
    method, _, path = call.partition(" ")
    answer = await client.request(method, re.sub(r"{\w+}", "x", path))
    if answer.status_code != 501:
        raise ValueError(f"{call} is answered {answer.status_code}, not 501: {answer.text}")
    return str(answer.json()["message"])


async def control_row(operation: Operation, app: App, client: httpx.AsyncClient) -> Row:
    """What the emulator does with a control operation."""
    call = f"{operation.method} {operation.path}"
    if operation.action in app.platform.handlers:
        return Row(operation.action, call, "real", REMARKS.get(operation.action, ""))
    await refusal(client, call)
    return Row(operation.action, call, "501", REASONS[resource_of(call).split()[0]])


def devs_row(operation: Operation, app: App) -> Row:
    """What the emulator does with an operation on tool sets; only two of them anybody has seen."""
    if operation.action not in app.platform.toolsets.handlers():
        raise ValueError(f"{operation.action} is not served")
    seen = operation.action in ("GetToolset", "ListToolsets")
    return Row(operation.action, f"{operation.method} {operation.path}", "real", "" if seen else "assumed")


def routes_below_sandboxes(app: App) -> set[str]:
    """The calls that the gateway and the inside of a sandbox really take."""
    managed = {f"{method} /{{sandbox_id}}/{below}".rstrip("/") for method, below in app.platform.sandboxes.routes()}
    return {*AT_THE_GATEWAY, *managed, *map(call_inside, Guest().app().routes)}


def call_inside(route: BaseRoute) -> str:
    """A route of the inside as a call."""
    assert isinstance(route, (Route, WebSocketRoute))
    method = next(iter((route.methods or set[str]()) - {"HEAD"})) if isinstance(route, Route) else "WS"
    return f"{method} /{{sandbox_id}}{route.path}"


def sandbox_rows(app: App) -> Iterator[Row]:
    """What is below `/sandboxes`; raises ValueError when the words above are about other calls than there are."""
    described = {*SANDBOXES, *SANDBOX_EXTENSIONS, *INTERNAL}
    if different := routes_below_sandboxes(app) ^ described:
        raise ValueError(f"either not described or not there: {', '.join(sorted(different))}")
    for calls, remark in ((SANDBOXES, ""), (SANDBOX_EXTENSIONS, NOT_ON_THE_CLOUD)):
        for call, words in calls.items():
            method, _, below = call.partition(" ")
            yield Row(words, f"{method} /sandboxes{below}", "real", remark)


async def collect() -> tuple[list[Row], list[Row]]:
    """The rows of the control plane and of the data plane."""
    app = build_app(Settings(verify_signatures=False, strict=False))
    try:
        async with client_of(app) as client:
            control = [await control_row(operation, app, client) for operation in table().operations]
            data = list(sandbox_rows(app))
            data += [Row(name, call, "real", remark) for call, name, remark in DATA_PLANE]
            data += [devs_row(operation, app) for operation in table(DEVS_CONTRACT).operations]
    finally:
        await app.platform.close()
    return control, data


def resource_of(call: str) -> str:
    """The resource that a control operation is about, as its path calls it."""
    parts = call.partition("/2025-09-10/")[2].removeprefix("agents/").split("/")
    below = parts[2] if len(parts) > 2 and parts[2] in ("endpoints", "versions") else ""
    return f"{parts[0]} {below}".strip()


def rows_table(rows: Iterable[Row]) -> str:
    """A Markdown table."""
    return "\n".join(["| what | call | state | remarks |", "|---|---|---|---|", *map(str, rows), ""])


def page(control: list[Row], data: list[Row]) -> str:
    """The whole page."""
    real = sum(row.state == "real" for row in control)
    ordered = sorted(control, key=lambda row: resource_of(row.call))
    groups = groupby(ordered, key=lambda row: resource_of(row.call))
    parts = [
        "# Operations",
        "",
        f"<!-- Written by `{COMMAND}`; a test compares. -->",
        "",
        "What the emulator does with each operation of the platform, found by asking it.",
        "",
        "- **real**: it does on this machine what it says. What an operation takes and only stores is under remarks.",
        "- **simulated**: it answers as if it did. No operation is simulated.",
        "- **501**: it is refused, never answered with an empty success; the reason is under remarks.",
        "",
        f"Of {len(control)} operations of the control plane {real} are real and {len(control) - real} answer 501.",
        "",
        "## Control plane",
        "",
        *[f"### {resource}\n\n{rows_table(rows)}" for resource, rows in groups],
        "## Data plane",
        "",
        rows_table(data),
    ]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` only say whether it is up to date; returns the exit status."""
    written = page(*asyncio.run(collect()))
    if "--check" not in arguments:
        PAGE.write_text(written, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == written:
        return 0
    print(f"{PAGE} is out of date: run {COMMAND}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
