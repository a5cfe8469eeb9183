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

from agentrun.emulator import Settings, build_app
from agentrun.emulator.app import App
from agentrun.emulator.guest.app import Guest
from agentrun.emulator.wire.table import Operation, table

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "operations.md"
COMMAND = "python scripts/operations_table.py"

# What no program can find out: which of its fields an operation heeds, and what is particular to it here.
REMARKS = {
    "CreateAgentRuntime": "heeds code, command, port, environment, cpu, memory, health check and network mode, and "
    "only stores the rest; code on OSS and container images answer 501",
    "CreateAgentRuntimeEndpoint": "heeds target version and weights, and only stores the rest",
    "CreateCredential": "encrypted at rest; no caller is asked for an inbound credential",
    "CreateModelService": "`networkConfiguration` is only stored; calls go from the SDK to the provider",
    "CreateSandbox": "of a CodeInterpreter template; other types and mounts answer 501",
    "CreateTemplate": "heeds type, cpu, memory, environment and timeouts, and only stores the rest",
    "GetAccessToken": "opens the data plane of the whole account for an hour",
}
# Why an operation is not served, by the resource it is about.
REASONS = {
    "browsers": "browser sandboxes are not here yet",
    "code-interpreters": "not here yet; use a template and a sandbox",
    "custom-domains": "the emulator is on loopback, where no domain leads",
    "flows": "flows are not here yet",
    "im-bots": "a bot needs a chat service on the internet",
    "knowledgebases": "knowledge bases are not here yet",
    "memory-collections": "memory collections are not here yet",
    "model-providers": "the list of providers is the cloud's own",
    "model-proxies": "model proxies are not here yet; model services are",
    "templates": "templates as MCP servers are not here yet",
    "tools": "tools are not here yet",
    "workspaces": "workspaces are not here yet; a `workspaceId` is only stored",
}
DATA_PLANE = (
    ("POST /sandboxes", "start a sandbox"),
    ("GET /sandboxes/{sandbox_id}", "read a sandbox"),
    ("DELETE /sandboxes/{sandbox_id}", "end a sandbox and forget it"),
    ("POST /sandboxes/{sandbox_id}/stop", "end a sandbox and keep its record"),
    ("ANY /agent-runtimes/{name}/endpoints/{endpoint}/invocations/{path}", "call any route of the agent"),
    ("GET /agent-runtimes/{name}/endpoints/{endpoint}/logs", "read what the agent wrote; not on the cloud"),
    ("POST /scripted/v1/chat/completions", "ask the scripted model; not on the cloud"),
    ("GET /scripted/v1/models", "list the scripted model; not on the cloud"),
)
ABSENT = (
    ("POST /models/{model_proxy}/v1/chat/completions", "ask a model proxy"),
    ("POST /tools/{tool}/mcp", "call a tool"),
    ("POST /templates/{template}/mcp", "call a template's MCP server"),
    ("GET /2023-07-14/toolsets/{tool_set}", "read a tool set"),
)


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


def guest_rows() -> Iterator[Row]:
    """The routes inside a code interpreter."""
    for route in Guest().routes():
        method = next(iter((route.methods or set[str]()) - {"HEAD"}))
        yield Row(route.name.replace("_", " "), f"{method} /sandboxes/{{sandbox_id}}{route.path}", "real")


async def collect() -> tuple[list[Row], list[Row]]:
    """The rows of the control plane and of the data plane."""
    app = build_app(Settings(verify_signatures=False, strict=False))
    try:
        async with client_of(app) as client:
            control = [await control_row(operation, app, client) for operation in table().operations]
            data = [Row(name, call, "real") for call, name in DATA_PLANE]
            data += guest_rows()
            data += [Row(name, call, "501", await refusal(client, call)) for call, name in ABSENT]
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
