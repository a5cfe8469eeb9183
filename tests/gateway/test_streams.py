"""What has begun to stream goes on byte by byte, and never ends without a word."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.gateway.answers import COMPLETION, DONE, EVENTS, JSON, STREAM, WORDS, chunk_of, streamed
from tests.gateway.serving import LOOPS, MESSAGES, Running, before, chat
from tests.unit.servers import STREAM_HEAD, Behaviour, answer, chunk, head, raw, reset, stream, trickle

EVENT_STREAM = {"content-type": "text/event-stream"}
UNFRAMED = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
HALF = chunk_of("one ") + chunk_of("two ")[:40]
# Each is cut after one whole event and a half.
CUTS: dict[str, Behaviour] = {
    "chunked": stream(HALF, end=b""),
    "chunked, with a reset": reset(STREAM_HEAD + chunk(HALF)),
    "chunked, with nonsense": raw(STREAM_HEAD + chunk(HALF) + b"nonsense\r\n"),
    "with a length": raw(head(200, {**EVENT_STREAM, "content-length": "9999"}) + HALF),
    "until the connection ends": raw(UNFRAMED + HALF),
    "between events, until the connection ends": raw(UNFRAMED + chunk_of("one ")),
    "compressed": raw(
        head(200, {**EVENT_STREAM, "content-encoding": "gzip", "connection": "close"})
        + gzip.compress(chunk_of("one ") * 500)[:-12]
    ),
    "for ever": stream(HALF, pause=30, end=b""),
    "for ever, without an end": trickle([UNFRAMED + HALF], 30),
}
QUICK: Any = {"gateway": {"timeouts": {"between_tokens_seconds": 0.3}}, "num_retries": 0}


def texts(gateway: Running, into: list[str]) -> None:
    with gateway.client() as client:
        chunks = client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
        into.extend(each.choices[0].delta.content or "" for each in chunks)


@pytest.mark.parametrize("how", sorted(CUTS))
def test_a_stream_that_breaks_off_ends_with_an_error(how: str) -> None:
    got: list[str] = []
    message = pytest.raises(openai.APIError, match="broke off in the middle of its answer")
    with before(CUTS[how], **QUICK) as (gateway, [server]), message as caught:
        texts(gateway, got)
    assert got[0] == "one "
    assert ("nothing more for" in str(caught.value)) == how.startswith("for ever")
    assert isinstance(caught.value.body, dict)
    assert (caught.value.code, caught.value.type) == ("upstream_broke_off", "server_error")
    assert len(server.requests) == 1


def test_only_whole_events_go_before_the_error() -> None:
    with before(CUTS["chunked"], **QUICK) as (gateway, _):
        got = gateway.post(chat(stream=True)).content
    assert got.startswith(chunk_of("one ") + b'data: {"error": {')
    assert got.endswith(b"}}\n\n")


def test_an_event_that_was_too_long_to_be_held_back_is_ended_before_the_error() -> None:
    long = b"data: " + b"x" * 400_000
    with before(stream(DONE, long, end=b""), **QUICK) as (gateway, _):
        got = gateway.post(chat(stream=True)).content
    *_, last, rest = got.split(b"\n\n")
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_broke_off"
    assert rest == b""


def test_an_answer_that_is_no_stream_and_has_begun_is_cut_off() -> None:
    large = head(200, {**JSON, "content-length": str(20 * 2**20)}) + b'{"x": "' + b"x" * (10 * 2**20)
    with before(raw(large), **QUICK) as (gateway, _), pytest.raises(httpx.RemoteProtocolError):
        gateway.post()


def test_a_call_in_the_middle_of_its_answer_has_a_time_too() -> None:
    endless = trickle([STREAM_HEAD, *[chunk(chunk_of("on "))] * 400], 0.05)
    got: list[str] = []
    with before(endless, request_timeout=1) as (gateway, _):
        began = time.monotonic()
        with pytest.raises(openai.APIError, match="longer than its 1 s") as caught:
            texts(gateway, got)
        assert 0.9 < time.monotonic() - began < 5
        assert gateway.stats()["endpoints"][0]["errors"] == 0
    assert caught.value.code == "request_timeout"
    assert len(got) > 3


def split(pieces: bytes, size: int) -> Iterator[bytes]:
    return (pieces[at : at + size] for at in range(0, len(pieces), size))


ODD_STREAMS: dict[str, Behaviour] = {
    "event by event": streamed(EVENTS),
    "all at once": streamed([STREAM]),
    "byte by byte": streamed(split(STREAM, 1)),
    "cut at odd places": streamed(split(STREAM, 7)),
    "with a length": answer(STREAM, headers=EVENT_STREAM),
    "until the connection ends": raw(UNFRAMED + STREAM),
    "with comments": streamed([b": hello\n\n", *EVENTS[:2], b": still here\n\n", *EVENTS[2:]]),
    "with names": streamed([b"event: x\nid: 1\n" + event for event in EVENTS]),
    "without its last empty line": streamed([STREAM.rstrip()]),
    "after interim answers": raw(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        + head(200, {**EVENT_STREAM, "content-length": str(len(STREAM))})
        + STREAM
    ),
    "with trailers": raw(STREAM_HEAD + chunk(STREAM) + b"0\r\nx-one: 1\r\nx-two: 2\r\n\r\n"),
    "with line ends of Windows": streamed(split(STREAM.replace(b"\n", b"\r\n"), 11)),
    "compressed": answer(gzip.compress(STREAM), headers={**EVENT_STREAM, "content-encoding": "gzip"}),
}


@pytest.mark.parametrize("loop", sorted(LOOPS))
@pytest.mark.parametrize("how", sorted(ODD_STREAMS))
def test_streams_come_however_they_are_cut(how: str, loop: str) -> None:
    got: list[str] = []
    with before(ODD_STREAMS[how], loop=loop) as (gateway, _):
        with gateway.client() as client:
            for each in client.chat.completions.create(model="chat", messages=MESSAGES, stream=True):
                got += [choice.delta.content or "" for choice in each.choices]
        assert gateway.stats()["tokens"] == {"prompt": 7, "completion": 3, "cached": 0}
    assert "".join(got) == "".join(WORDS)


EXACT = {
    "event by event": STREAM,
    "byte by byte": STREAM,
    "without its last empty line": STREAM.rstrip(),
    "with line ends of Windows": STREAM.replace(b"\n", b"\r\n"),
    "with names": b"".join(b"event: x\nid: 1\n" + event for event in EVENTS),
    "until the connection ends": STREAM,
    "compressed": STREAM,
}


@pytest.mark.parametrize("how", sorted(EXACT))
def test_the_bytes_of_a_stream_are_the_same(how: str) -> None:
    with before(ODD_STREAMS[how]) as (gateway, _):
        got = gateway.post(chat(stream=True))
    assert got.content == EXACT[how]
    assert got.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize("spaces", [0, 1])
def test_the_bytes_of_a_question_are_the_same(spaces: int) -> None:
    body = json.dumps(chat(ä="ö", odd="\ud800", n=1.0), ensure_ascii=bool(spaces), indent=spaces)
    sent = body.encode("utf-8", "surrogatepass") if spaces else body.replace("\ud800", "").encode()
    with before(answer(COMPLETION, headers=JSON)) as (gateway, [server]):
        assert gateway.post(sent).status_code == 200
    assert server.requests[0].body == sent


def test_events_come_when_they_are_sent() -> None:
    with before(streamed(EVENTS, pause=0.2)) as (gateway, _), gateway.client() as client:
        began = time.monotonic()
        times = [
            time.monotonic() - began
            for _ in client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
        ]
    assert times[0] < times[-1] - 0.5


def test_an_error_event_of_the_model_itself_is_passed_on() -> None:
    told = b'data: {"error": {"message": "the model is tired", "code": "tired"}}\n\n'
    tired = pytest.raises(openai.APIError, match="the model is tired")
    with before(streamed([chunk_of("one "), told])) as (gateway, _), tired:
        texts(gateway, [])
