"""Whether a tool's structured output is what the tool promises by its `outputSchema`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from agentrun._core.values import is_mapping
from agentrun.errors import Executed, InvalidResponseError

_CHECKS = "agentrun.toolset.arguments"


def _checks() -> Any:
    return import_module(_CHECKS)


def schema_of(name: str, tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The schema that a tool promises its output by, None when it promises nothing or is not among the tools."""
    found = next((tool.get("outputSchema") for tool in tools if tool.get("name") == name), None)
    return found if is_mapping(found) else None


async def broken_promise(
    name: str, schema: Mapping[str, Any], answer: Mapping[str, Any]
) -> InvalidResponseError | None:
    """What is wrong with the answer of a tool that has such a schema, None when nothing is; tells no values."""
    if answer.get("isError"):
        return None
    if "structuredContent" not in answer:
        fault: str | None = "there is none"
    else:
        # It loads slowly, which would hold everybody up the first time.
        checks = await asyncio.to_thread(_checks) if _CHECKS not in sys.modules else _checks()
        fault = checks.fault_in(schema, answer["structuredContent"])
    if fault is None:
        return None
    return InvalidResponseError(
        f"the structured output of the tool {name!r} does not fit its outputSchema: {fault}",
        executed=Executed.YES,
        hint="Tell whoever runs the MCP server; McpClient(check_output=False) takes the output as it is",
    )
