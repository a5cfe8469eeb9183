"""Streams of AgentScope Runtime, recorded from the wire, against ours for the same runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agentrun.server import AgentEvent
from agentrun.server.protocols.agent_api import stream
from tests.unit.server.agent_api.runs import call, given, lines_of, piece, request, result, text, thought

CAPTURES = Path(__file__).parents[3] / "data" / "captures" / "agent-api"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r'"(created_at|completed_at)":\d+')
CODE = '{"code": "print(1+1)"}'
PRINTED = "<returncode>0</returncode><stdout>2\n</stdout><stderr></stderr>"


def same_names(lines: list[str]) -> list[str]:
    """The lines with ids by the order in which they come, and times that are all the same."""
    ids: dict[str, str] = {}
    return [
        _TIME.sub(r'"\1":0', _UUID.sub(lambda found: ids.setdefault(found[0], f"id-{len(ids)}"), line))
        for line in lines
    ]


def recorded(name: str) -> list[str]:
    return [line.removeprefix("data: ") for line in (CAPTURES / name).read_text().splitlines() if line[:5] == "data:"]


async def ours(*events: AgentEvent | Exception) -> list[str]:
    return lines_of(b"".join([frames async for frames in stream(request(), given(events))]).decode())


def renumbered(lines: list[str]) -> list[str]:
    """The lines without the guesses at arguments in between: it completes each piece of them to an object."""
    kept = [line for line in lines if not ('"status":"in_progress"' in line and re.search(r'"arguments":"[^"]', line))]
    places = {str(json.loads(line)["sequence_number"]): str(number) for number, line in enumerate(kept)}
    number = re.compile(r'"sequence_number":(\d+)')
    return [number.sub(lambda found: f'"sequence_number":{places[found[1]]}', line) for line in kept]


@pytest.mark.asyncio
async def test_text_is_told_as_it_was_recorded() -> None:
    told = await ours(*(text(delta) for delta in ("Par", "is", " (", "users=1", ")")))
    assert same_names(told) == same_names(recorded("text.sse"))


@pytest.mark.parametrize("name", ["tool.sse", "tool-1.1.sse"])
@pytest.mark.asyncio
async def test_thoughts_a_call_and_its_result_are_told_as_they_were_recorded(name: str) -> None:
    told = await ours(
        thought("I w"),
        call("call_1", "execute_python_code", CODE),
        # Blocks are written as their framework writes them.
        result("call_1", json.dumps([{"type": "text", "text": PRINTED}])),
        *(text(delta) for delta in ("Par", "is", " (", "users=2", ")")),
    )
    # Its later versions have {} for no metadata.
    expected = [line.replace('"metadata":{}', '"metadata":null') for line in renumbered(recorded(name))]
    assert same_names(told) == same_names(expected)


@pytest.mark.asyncio
async def test_pieces_of_a_call_come_to_the_same_as_the_whole() -> None:
    pieces = [piece("c", "", name="f"), piece("c", '{"a": '), piece("c", "1}")]
    assert same_names(await ours(call("c", "f", '{"a": 1}'))) == same_names(renumbered(await ours(*pieces)))


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("failed-before.sse", [ValueError("boom before first yield")]),
        ("failed-between.sse", [*map(text, ("Hel", "lo", " wor", "ld")), ValueError("boom mid stream")]),
    ],
)
@pytest.mark.asyncio
async def test_a_failure_ends_as_it_was_recorded(name: str, events: list[AgentEvent | Exception]) -> None:
    def end(lines: list[str]) -> dict[str, Any]:
        varying = ("id", "session_id", "created_at", "sequence_number")
        return {field: value for field, value in json.loads(lines[-1]).items() if field not in varying}

    assert end(await ours(*events)) == end(recorded(name))


@pytest.mark.asyncio
async def test_plain_text_has_the_pieces_that_were_recorded_and_is_a_message_besides() -> None:
    told, expected = await ours(*map(text, ("Hel", "lo", " wor", "ld"))), recorded("plain-text.sse")

    def deltas(lines: list[str]) -> list[dict[str, Any]]:
        items = [json.loads(line) for line in same_names(lines)]
        return [{**item, "sequence_number": 0, "msg_id": ""} for item in items if item.get("delta")]

    assert deltas(told) == deltas(expected)
    # As recorded there, a message of plain text never begins, so that clients cannot tell where it belongs.
    begun = [json.loads(line) for line in told if '"object":"message","status":"in_progress"' in line]
    assert [message["type"] for message in begun] == ["message"]
