"""Answers that are no stream and not as they should be: passed on if they can be, told as errors otherwise."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest

from tests.gateway.answers import COMPLETION, JSON, completion
from tests.gateway.serving import LOOPS, PATIENCE, before, chat, one, serving_gateway
from tests.gateway.upstream import Reader, Upstream, Writer, length_of, upstream
from tests.unit.servers import Behaviour, answer, head, raw, stream

TEXT = json.dumps(COMPLETION).encode()
GOOD: dict[str, Behaviour] = {
    "HTTP/1.0 without a length": raw(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + TEXT),
    "HTTP/1.0 with a length": raw(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(TEXT), TEXT)),
    "no media type": answer(TEXT),
    "chunks": stream(*(TEXT[at : at + 5] for at in range(0, len(TEXT), 5))),
    "gzip": answer(gzip.compress(TEXT), headers={**JSON, "content-encoding": "gzip"}),
    "deflate": answer(zlib.compress(TEXT), headers={**JSON, "content-encoding": "deflate"}),
    "interim answers": raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + head(200, {"content-length": str(len(TEXT))}) + TEXT),
    "a second answer behind the first": raw((head(200, {"content-length": str(len(TEXT))}) + TEXT) * 2, keep=True),
    "many headers": answer(TEXT, headers={f"x-{number}": "v" * 50 for number in range(200)}),
    "an upgrade that it offers": answer(TEXT, headers={"upgrade": "h2c", "connection": "upgrade"}),
}


@pytest.mark.parametrize("loop", sorted(LOOPS))
@pytest.mark.parametrize("how", sorted(GOOD))
def test_odd_answers_that_are_whole(how: str, loop: str) -> None:
    with before(GOOD[how], loop=loop, num_retries=0) as (gateway, _):
        for _ in range(2):
            got = gateway.post()
            assert (got.status_code, got.content) == (200, TEXT)
        assert gateway.stats()["tokens"]["completion"] == 6


def test_an_encoding_that_is_unknown_is_passed_on_with_its_name() -> None:
    with before(answer(b"\x01\x02", headers={**JSON, "content-encoding": "x-odd"})) as (gateway, _):
        got = gateway.post()
    assert (got.content, got.headers["content-encoding"]) == (b"\x01\x02", "x-odd")


def test_a_large_answer_that_was_compressed_is_unpacked_in_parts() -> None:
    large = b'{"x": "' + b"x" * (20 * 2**20) + b'"}'
    with before(answer(gzip.compress(large), headers={**JSON, "content-encoding": "gzip"})) as (gateway, _):
        assert gateway.post().content == large


BAD: dict[str, tuple[Behaviour, str]] = {
    "not HTTP": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "not HTTP"),
    "nonsense": (raw(bytes(range(256))), "not HTTP"),
    "an endless header": (raw(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000, keep=True), "KiB of headers"),
    "endless headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 50_000, keep=True), "KiB of headers"),
    "endless interim answers": (raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, keep=True), "KiB of headers"),
    "a protocol it was not asked for": (
        raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", keep=True),
        "not HTTP",
    ),
    "too short": (raw(head(200, {**JSON, "content-length": "999"}) + TEXT), "in the middle of its answer"),
    "a negative length": (raw(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"), "not HTTP"),
    "nothing": (raw(b""), "without an answer"),
    "an empty body": (answer(b"", headers=JSON), "empty"),
    "a page": (answer(b"<html>", headers={"content-type": "text/html"}), "web page"),
    "a redirect": (answer(b"", 302, {"location": "/elsewhere"}), "status 302"),
    "cut JSON without a length": (
        raw(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + TEXT[:-9]),
        "before",
    ),
    "not compressed": (answer(TEXT, headers={**JSON, "content-encoding": "gzip"}), "not compressed as it says"),
    "compressed without an end": (
        answer(gzip.compress(TEXT)[:-9], headers={**JSON, "content-encoding": "gzip"}),
        "has no end",
    ),
}


@pytest.mark.parametrize("how", sorted(BAD))
def test_bad_answers_are_told_as_errors(how: str) -> None:
    behaviour, text = BAD[how]
    with before(behaviour, num_retries=0) as (gateway, [server]):
        got = gateway.post()
    assert got.status_code == 502
    assert text in got.json()["error"]["message"]
    assert got.headers["x-agentrun-endpoint"] in got.json()["error"]["message"]
    assert len(server.requests) == 1


async def answers_at_once(server: Upstream, reader: Reader, writer: Writer) -> None:
    while True:
        length = length_of(await reader.readuntil(b"\r\n\r\n"))
        writer.write(head(200, {**JSON, "content-length": str(len(TEXT))}) + TEXT)
        await writer.drain()
        while length and (part := await reader.read(min(length, 2**16))):
            length -= len(part)


@pytest.mark.parametrize("size", [10, 10 * 2**20])
def test_an_answer_that_comes_before_the_question_was_read(size: int) -> None:
    with upstream(answers_at_once) as server, serving_gateway(one(server.url)) as gateway:
        for _ in range(2):
            assert gateway.post(chat(user="x" * size)).content == TEXT


async def answers_and_reads_no_more(server: Upstream, reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head(200, {**JSON, "content-length": str(len(TEXT))}) + TEXT)
    await asyncio.sleep(10 * PATIENCE)


def test_who_has_not_read_a_question_gets_no_other_on_the_same_connection() -> None:
    with upstream(answers_and_reads_no_more) as server, serving_gateway(one(server.url)) as gateway:
        for _ in range(3):
            assert gateway.post(chat(user="x" * 10 * 2**20)).content == TEXT
    assert server.accepted == 3


def test_a_question_of_ten_megabytes() -> None:
    with before(completion()) as (gateway, [server]), gateway.client() as client:
        said = client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "ä" * 5 * 2**20}])
    assert said.choices[0].message.content == "hello"
    assert len(server.requests[0].body) > 10 * 2**20
