"""Calls, and answers as a model really sends them: the scripted one, in process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from agentrun.emulator.scripted import Reply, Rule, Script, ScriptedModel, ToolCall
from agentrun.gateway.call import Call, Caller, dump
from agentrun.gateway.plan import Plan
from agentrun.gateway.streaming.events import data_of
from agentrun.model.policies import GatewayPolicies, ProxyConfigPolicies

CREATED = 1_750_000_000
HELLO: Mapping[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
TOOL_CALL = ToolCall("pay", {"card": "4111 1111 1111 1111", "note": "请付款"}, id="call_1")


def asked(
    fields: Mapping[str, Any] = HELLO,
    *,
    operation: str = "chat/completions",
    headers: Mapping[str, str] | None = None,
    tenant: str = "t",
    **more: Any,
) -> Call:
    """A call as the gateway reads it."""
    return Call.read(operation, dump({**fields, **more}), headers or {}, Caller("key", tenant))


def plan(gateway: GatewayPolicies | None = None, **policies: Any) -> Plan:
    """A proxy without endpoints, with these policies."""
    return Plan("p", "proxy-1", (), policies=ProxyConfigPolicies(gateway=gateway, **policies))


async def answer_of(
    reply: Reply | str, fields: Mapping[str, Any] = HELLO, *, operation: str = "chat/completions", **more: Any
) -> bytes:
    """The bytes that a model sends for a call."""
    model = ScriptedModel(Script([Rule("", reply)]), clock=lambda: CREATED)
    headers = {"authorization": "Bearer k"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(model), base_url="http://model") as client:
        answer = await client.post(f"/v1/{operation}", json={**fields, **more}, headers=headers)
    return answer.content


async def streamed(reply: Reply | str, *, usage: bool = True, **more: Any) -> bytes:
    """The bytes of a streamed answer."""
    return await answer_of(reply, stream=True, stream_options={"include_usage": usage}, **more)


def cut(body: bytes, at: int) -> tuple[bytes, bytes]:
    """A body in two pieces."""
    return body[:at], body[at:]


def cuts(body: bytes, step: int = 1) -> Iterator[tuple[bytes, ...]]:
    """A body in two pieces in all ways, in bytes one by one, and as one."""
    yield from (cut(body, at) for at in range(0, len(body), step))
    yield tuple(body[at : at + 1] for at in range(len(body)))
    yield (body,)


def chunks_in(stream: bytes) -> list[dict[str, Any]]:
    """The objects of a stream of events."""
    data = [data_of(event) for event in stream.split(b"\n\n")]
    return [json.loads(each) for each in data if each and each != b"[DONE]"]


def chunk(delta: Mapping[str, Any], *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": CREATED, "model": "m", "choices": [choice], **more}


def events(*objects: Mapping[str, Any], done: bool = True) -> bytes:
    """A stream of events."""
    return b"".join([*(b"data: %b\n\n" % dump(each) for each in objects), b"data: [DONE]\n\n" if done else b""])


def contents(stream: bytes, name: str = "content", index: int = 0) -> str:
    """What a stream says in one field of one choice."""
    deltas = [choice["delta"] for each in chunks_in(stream) for choice in each["choices"] if choice["index"] == index]
    return "".join(delta.get(name) or "" for delta in deltas)


def arguments(stream: bytes) -> str:
    """The arguments of the tool calls of a stream, one after the other."""
    calls = [call for each in chunks_in(stream) for choice in each["choices"] for call in _calls(choice["delta"])]
    return "".join(call["function"].get("arguments", "") for call in calls)


def finishes(stream: bytes) -> list[str]:
    """The finish reasons of a stream."""
    reasons = [choice.get("finish_reason") for each in chunks_in(stream) for choice in each["choices"]]
    return [reason for reason in reasons if reason]


def joined(pieces: Iterable[bytes]) -> bytes:
    """Pieces as one."""
    return b"".join(pieces)


def _calls(delta: Mapping[str, Any]) -> list[dict[str, Any]]:
    return delta.get("tool_calls") or []
