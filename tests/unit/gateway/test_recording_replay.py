"""What a server does on a socket is recorded, and comes again from the recording: bytes, cuts, times and failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from agentrun._serving.openai_error import ApiError
from agentrun._serving.upstream import UpstreamError, UpstreamTimeout
from agentrun.gateway.plan import Target, target
from agentrun.gateway.recording.exchange import Ending
from agentrun.gateway.recording.file import Recording, RecordingFile
from agentrun.gateway.recording.receipt import Ledger, Source
from agentrun.gateway.recording.recorder import Recorder
from agentrun.gateway.recording.replay import Replay, Speed
from agentrun.gateway.routing.upstreams import HTTPUpstreams, NotReached, Upstreams, Wait
from tests.unit.servers import Behaviour, after, answer, chunk, closed_port, head, raw, reset, serving, stream, trickle

pytestmark = pytest.mark.asyncio

PAUSE = 0.2  # Long enough to be told from what a busy machine takes.
KEY = "a key of no known form"
CANARY = "sk-canary-0123456789abcdefghijklmnop"
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Got:
    """What a caller got: the pieces with the seconds until each, and how it ended."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    pieces: list[bytes] = field(default_factory=list[bytes])
    seconds: list[float] = field(default_factory=list[float])
    error: UpstreamError | None = None

    @property
    def outcome(self) -> tuple[int, list[bytes], str]:
        return self.status, self.pieces, str(self.error)


@dataclass
class Desk:
    """Where a test records and replays."""

    path: Path
    url: str

    @property
    def target(self) -> Target:
        return target("there", "key", self.url, KEY)

    async def record(self, *requests: dict[str, Any], ledger: Ledger | None = None, **limits: Any) -> list[Got]:
        recorder = Recorder(HTTPUpstreams(), RecordingFile(self.path, overwrite=True), ledger=ledger)
        try:
            return [await ask(recorder, self.target, each, **limits) for each in requests]
        finally:
            recorder.close()

    def replay(self, **choices: Any) -> Replay:
        return Replay(Recording.load(self.path), **choices)


async def ask(
    upstreams: Upstreams,
    there: Target,
    request: dict[str, Any],
    operation: str = "chat/completions",
    first: float | None = 5.0,
    between: float | None = 5.0,
    pieces: int = 1000,
) -> Got:
    """Take an answer, up to so many pieces of it, and close it."""
    got, began = Got(), monotonic()
    try:
        reply = await upstreams.ask(there, operation, [], json.dumps(request).encode(), Wait(1.0, first))
        got.status, got.headers = reply.status, dict(reply.headers)
        try:
            while not reply.is_complete() and len(got.pieces) < pieces:
                piece = await reply.piece(between)
                got.pieces += [piece] if piece else []
                got.seconds += [monotonic() - began] if piece else []
        finally:
            reply.close()
    except UpstreamError as error:
        got.error = error
    return got


def told(text: str) -> Behaviour:
    return answer({"choices": [{"message": {"content": text}}]})


def slowly(*parts: bytes) -> Behaviour:
    """Parts of a connection's bytes, with a pause behind each; then it closes."""

    def behave(line: Any, request: Any) -> bool:
        trickle(parts, PAUSE)(line, request)
        return False

    return behave


STREAM_HEAD = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
PARTS = [b"data: on", b"e\n\ndata: tw", "o 天".encode()[:-1], "天".encode()[-1:] + b"\n\ndata: [DONE]\n\n"]
FAILURES: dict[str, Behaviour] = {
    "cut in a chunk": slowly(STREAM_HEAD, chunk(PARTS[0]), b"ff\r\nhalf"),
    "cut between chunks": stream(*PARTS, end=b""),
    "reset in the body": reset(head(200, {"content-length": "100"}) + b"half"),
    "closed without an answer": raw(b""),
    "not HTTP": raw(b"SSH-2.0\r\n\r\n"),
}


async def test_pieces_come_again_as_they_came_and_when_they_came(tmp_path: Path) -> None:
    with serving(slowly(STREAM_HEAD, *map(chunk, PARTS), b"0\r\n\r\n")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        [live] = await desk.record(HELLO)
    assert live.pieces == PARTS
    again = await ask(desk.replay(speed=Speed.ORIGINAL), desk.target, HELLO)
    assert again.outcome == live.outcome
    assert again.seconds == pytest.approx(live.seconds, abs=PAUSE / 2)
    assert again.headers == {b"content-type": b"text/event-stream"}


async def test_at_once_is_the_same_without_the_waiting(tmp_path: Path) -> None:
    with serving(slowly(STREAM_HEAD, *map(chunk, PARTS), b"0\r\n\r\n")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        [live] = await desk.record(HELLO)
    again = await ask(desk.replay(), desk.target, HELLO)
    assert again.outcome == live.outcome
    assert live.seconds[-1] > 3 * PAUSE > 10 * again.seconds[-1]


async def test_recording_delays_nothing(tmp_path: Path) -> None:
    """The caller has each piece before the next one is sent, and the file is written when it has all of them."""
    with serving(slowly(STREAM_HEAD, *map(chunk, PARTS), b"0\r\n\r\n")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        recorder = Recorder(HTTPUpstreams(), RecordingFile(desk.path))
        before = desk.path.read_bytes()
        reply = await recorder.ask(desk.target, "chat/completions", [], json.dumps(HELLO).encode(), Wait(1.0))
        for part in PARTS:
            assert await reply.piece() == part
            assert desk.path.read_bytes() == before
        assert await reply.piece() == b""
        reply.close()
        assert len(Recording.load(desk.path).exchanges) == recorder.written == 1
        recorder.close()


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("speed", Speed)
async def test_failures_come_again(tmp_path: Path, failure: str, speed: Speed) -> None:
    with serving(FAILURES[failure]) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        [live] = await desk.record(HELLO)
    assert live.error is not None
    assert (await ask(desk.replay(speed=speed), desk.target, HELLO)).outcome == live.outcome
    assert Recording.load(desk.path).exchanges[0].ending is Ending.CUT


async def test_a_server_that_is_not_there_is_not_there_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.jsonl", f"http://127.0.0.1:{closed_port()}")
    [live] = await desk.record(HELLO)
    again = await ask(desk.replay(), desk.target, HELLO)
    assert isinstance(again.error, NotReached)
    assert again.outcome == live.outcome


async def test_a_wait_that_was_too_long_ends_the_same_way(tmp_path: Path) -> None:
    with serving(stream(PARTS[0], end=b"", pause=1)) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        [live] = await desk.record(HELLO, between=PAUSE)
    assert isinstance(live.error, UpstreamTimeout)
    again = await ask(desk.replay(speed=Speed.ORIGINAL), desk.target, HELLO)
    assert isinstance(again.error, UpstreamTimeout)
    assert again.outcome == live.outcome


async def test_limits_of_today_hold_for_answers_of_then(tmp_path: Path) -> None:
    with serving(after(4 * PAUSE, slowly(STREAM_HEAD, *map(chunk, PARTS)))) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(HELLO)
    replay = desk.replay(speed=Speed.ORIGINAL)
    late = await ask(replay, desk.target, HELLO, first=PAUSE)
    assert (late.status, str(late.error)) == (0, "it did not begin to answer within 0.2 s")
    slow = await ask(replay, desk.target, HELLO, between=PAUSE / 4)
    assert (slow.status, str(slow.error)) == (200, "it sent nothing more for 0.05 s")


async def test_a_caller_that_goes_away_leaves_what_came(tmp_path: Path) -> None:
    with serving(slowly(STREAM_HEAD, *map(chunk, PARTS))) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(HELLO, pieces=2)
    assert Recording.load(desk.path).exchanges[0].ending is Ending.LEFT
    again = await ask(desk.replay(), desk.target, HELLO)
    assert again.pieces == PARTS[:2]
    assert str(again.error) == "the recording ends here, because the caller went away then"


async def test_an_answer_in_one_part_is_whole_at_once(tmp_path: Path) -> None:
    with serving(answer({"id": 1}, 429, {"retry-after": "3", "openai-organization": "secret-org"})) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        [live] = await desk.record(HELLO)
    again = await ask(desk.replay(speed=Speed.ORIGINAL), desk.target, HELLO)
    assert again.outcome == live.outcome == (429, [b'{"id": 1}'], "None")
    assert again.headers == {b"retry-after": b"3"}
    assert "secret-org" not in desk.path.read_text()


# The same request several times


async def texts(replay: Replay, there: Target, requests: Sequence[dict[str, Any]]) -> list[str]:
    found = [await ask(replay, there, each) for each in requests]
    return [json.loads(b"".join(each.pieces))["choices"][0]["message"]["content"] for each in found]


async def test_the_same_request_gets_its_answers_in_their_order_and_the_last_one_again(tmp_path: Path) -> None:
    other = {**HELLO, "model": "n"}
    with serving(told("one"), told("other"), told("two")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(HELLO, other, HELLO)
    replay = desk.replay()
    assert replay.unused == 3
    assert await texts(replay, desk.target, [HELLO, HELLO, other, HELLO]) == ["one", "two", "other", "two"]
    assert replay.unused == 0


async def test_without_repeating_a_request_can_be_used_up(tmp_path: Path) -> None:
    with serving(told("one")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(HELLO)
    ledger = Ledger()
    replay = desk.replay(repeat=False, ledger=ledger)
    assert await texts(replay, desk.target, [HELLO]) == ["one"]
    with pytest.raises(ApiError, match="has this request 1 time, and all of its answers were given") as refused:
        await ask(replay, desk.target, HELLO)
    assert (refused.value.status, refused.value.code) == (404, "recording_used_up")
    assert ledger.receipt().calls == {Source.RECORDING: 1, Source.NOT_RECORDED: 1}


async def test_answers_of_calls_at_once_keep_the_order_of_their_requests(tmp_path: Path) -> None:
    with serving(after(2 * PAUSE, told("one")), told("two")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        recorder = Recorder(HTTPUpstreams(), RecordingFile(desk.path))
        first = asyncio.ensure_future(ask(recorder, desk.target, HELLO))
        await asyncio.sleep(PAUSE)
        await asyncio.gather(first, ask(recorder, desk.target, HELLO))
        recorder.close()
    assert [json.loads(line)["exchange"] for line in desk.path.read_text().split("\n") if '"exchange"' in line] == [
        2,
        1,
    ]
    assert await texts(desk.replay(), desk.target, [HELLO, HELLO]) == ["one", "two"]


async def test_the_operation_is_a_part_of_the_request(tmp_path: Path) -> None:
    with serving(told("one")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(HELLO)
    with pytest.raises(ApiError) as missed:
        await ask(desk.replay(), desk.target, HELLO, operation="responses")
    assert "operation:\n    - chat/completions\n    + responses\n" in missed.value.message


# Secrets


async def test_no_secret_is_in_the_file_and_another_one_finds_its_answer(tmp_path: Path) -> None:
    def saying(secret: str) -> dict[str, Any]:
        return {"model": "m", "messages": [{"role": "user", "content": f"use {secret} and {KEY}"}]}

    body = json.dumps({"choices": [{"message": {"content": f"I use {CANARY}, not {KEY}"}}]}).encode()
    with serving(answer(body, headers={"x-request-id": CANARY, "set-cookie": "canary"})) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(saying(CANARY))
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert CANARY.encode() in server.requests[0].body
    written = desk.path.read_text()
    assert [secret for secret in ("canary", KEY, "authorization") if secret in written] == []
    other = "sk-another-0123456789abcdefghijk"
    replay = desk.replay(known=lambda: [KEY])
    assert await texts(replay, desk.target, [saying(other)]) == [f"I use {other}, not {KEY}"]
    assert await texts(replay, desk.target, [saying(CANARY)]) == [f"I use {CANARY}, not {KEY}"]


async def test_a_conversation_goes_on_with_the_secrets_of_today(tmp_path: Path) -> None:
    """A model that repeats a key to call a tool: the key of the second run is in the second run's next request."""

    def first(secret: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": f"log in with {secret}"}]}

    def second(secret: str, said: str) -> dict[str, Any]:
        return {"messages": [*first(secret)["messages"], {"role": "assistant", "content": said}]}

    with serving(told(f"login({CANARY})"), told("done")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(first(CANARY), second(CANARY, f"login({CANARY})"))
    other = "sk-another-0123456789abcdefghijk"
    replay = desk.replay()
    [said] = await texts(replay, desk.target, [first(other)])
    assert said == f"login({other})"
    assert await texts(replay, desk.target, [second(other, said)]) == ["done"]


async def test_what_came_compressed_is_not_written_because_secrets_hide_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(answer(b"zipped", headers={"content-encoding": "br"})) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        recorder = Recorder(HTTPUpstreams(), RecordingFile(desk.path))
        assert (await ask(recorder, desk.target, HELLO)).pieces == [b"zipped"]
        recorder.close()
    assert (recorder.written, recorder.lost) == (0, 1)
    assert Recording.load(desk.path).exchanges == ()
    assert "compressed" in caplog.text


async def test_a_file_that_cannot_be_written_breaks_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(told("one")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        file = RecordingFile(desk.path)
        recorder = Recorder(HTTPUpstreams(), file)
        file.close()
        assert (await ask(recorder, desk.target, HELLO)).status == 200
        recorder.close()
    assert (recorder.written, recorder.lost) == (0, 1)
    assert "it is closed" in caplog.text


# What is not there


async def test_the_nearest_request_is_shown_field_by_field(tmp_path: Path) -> None:
    def request(city: str, **more: Any) -> dict[str, Any]:
        text = "You are a patient and friendly assistant for travellers. How is the weather in {}? Tell me in one word."
        system = {"role": "system", "content": "Be brief."}
        return {"model": "m", "messages": [system, {"role": "user", "content": text.format(city)}], **more}

    with serving(told("x")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(
            {"model": "m", "messages": [{"role": "user", "content": "How are you?"}]},
            request("Hangzhou", temperature=0.5, stop=["."]),
            {"model": "other", "input": "weather"},
        )
    ledger = Ledger()
    replay = desk.replay(ledger=ledger, advice="Do record {}.".format)
    with pytest.raises(ApiError) as missed:
        await ask(replay, desk.target, request("Hamburg", temperature=1, seed=7))
    assert missed.value.message.split("\n") == [
        "The recording has no such chat/completions with model 'm'.",
        "The nearest is its exchange 2, other in 4 fields:",
        "  messages[1].content:",
        "    - …How is the weather in Hangzhou? Tell me in one word.",
        "    + …How is the weather in Hamburg? Tell me in one word.",
        '  stop[0]: only in the recording, "."',
        "  temperature: recorded 0.5, asked 1",
        "  seed: only in the request, 7",
        "Do record m.",
    ]
    assert (missed.value.status, missed.value.code) == (404, "not_recorded")
    assert missed.value.headers["x-should-retry"] == "false"
    assert ledger.receipt().calls == {Source.NOT_RECORDED: 1}


async def test_many_differences_are_cut_short_and_secrets_stay_out(tmp_path: Path) -> None:
    with serving(told("x")) as server:
        desk = Desk(tmp_path / "r.jsonl", server.url)
        await desk.record(HELLO)
    asked = {**HELLO, **{f"field{number}": f"{CANARY} {'x' * 200}" for number in range(8)}}
    with pytest.raises(ApiError) as missed:
        await ask(desk.replay(), desk.target, asked)
    assert "... and 3 more" in missed.value.message
    assert "<api-key:1> xxx" in missed.value.message
    assert "canary" not in missed.value.message
    assert max(map(len, missed.value.message.split("\n"))) < 130


async def test_an_empty_recording_says_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.jsonl", "http://127.0.0.1:1")
    await desk.record()
    with pytest.raises(ApiError, match="The recording is empty"):
        await ask(desk.replay(), desk.target, HELLO)
