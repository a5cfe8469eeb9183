"""Events of an agent in the order that a protocol of pieces needs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agentrun.server import AgentEvent, AguiEventNormalizer, EventType


def told(normalizer: AguiEventNormalizer, event: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(each.event.value, each.data) for each in normalizer.normalize(event)]


def test_text_becomes_an_event_and_nothing_becomes_none() -> None:
    assert told(AguiEventNormalizer(), "hi") == [("TEXT", {"delta": "hi"})]
    assert told(AguiEventNormalizer(), "") == []


def test_a_whole_call_comes_as_one_piece_and_waits_for_its_result() -> None:
    normalizer = AguiEventNormalizer()
    call = AgentEvent(event=EventType.TOOL_CALL, data={"id": "a", "name": "add", "args": "{}"})
    assert told(normalizer, call) == [("TOOL_CALL_CHUNK", {"id": "a", "name": "add", "args_delta": "{}"})]
    assert normalizer.get_active_tool_calls() == ["a"]
    told(normalizer, {"event": "TOOL_RESULT_CHUNK", "data": {"id": "a", "delta": "4"}})
    assert normalizer.get_active_tool_calls() == ["a"]
    told(normalizer, {"event": "TOOL_RESULT", "data": {"id": "a", "result": "42"}})
    assert (normalizer.get_active_tool_calls(), normalizer.get_seen_tool_calls()) == ([], ["a"])
    normalizer.reset()
    assert normalizer.get_seen_tool_calls() == []


def test_a_result_without_a_call_gets_one() -> None:
    result = {"event": "TOOL_RESULT", "data": {"id": "b", "name": "find", "result": "x"}}
    assert [kind for kind, _ in told(AguiEventNormalizer(), result)] == ["TOOL_CALL_CHUNK", "TOOL_RESULT"]


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        told(AguiEventNormalizer(), {"event": "DANCE"})
