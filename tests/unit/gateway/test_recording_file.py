"""The file of a recording: what is written is read again, whatever happened while it was written."""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agentrun.gateway.recording.exchange import Ending, Exchange, Piece, RecordingError
from agentrun.gateway.recording.file import Recording, RecordingFile
from agentrun.gateway.recording.secret_types import SecretType

HEAD = '{"format": "agentrun-recording", "version": 1}'
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "杭州\u2028\n天气"}]}
STREAMED = Exchange(
    1,
    "chat/completions",
    REQUEST,
    200,
    {"content-type": "text/event-stream"},
    10.5,
    (Piece(11.0, "data: 天\n\n".encode()), Piece(12.25, b"data: \xff"), Piece(13.0, "天".encode()[:2])),
    Ending.CUT,
    14.0,
    "it closed the connection",
)
UNREACHED = Exchange(2, "embeddings", {"input": "x"}, ending=Ending.UNREACHED, end_ms=5.0, reason="nobody listens")
WHOLE = Exchange(3, "chat/completions", {}, 429, {"retry-after": "1"}, 1.0, (Piece(1.0, b"{}"),), end_ms=1.0)
ALL = (STREAMED, UNREACHED, WHOLE)


def written(path: Path, *exchanges: Exchange) -> Path:
    file = RecordingFile(path)
    for exchange in exchanges:
        file.append(exchange)
    file.close()
    return path


@contextmanager
def largest_file(size: int) -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    recording = Recording.load(written(tmp_path / "r.jsonl", *ALL))
    assert recording.exchanges == ALL
    assert recording.models == ["m"]


def test_exchanges_come_in_the_order_of_their_requests(tmp_path: Path) -> None:
    assert Recording.load(written(tmp_path / "r.jsonl", WHOLE, UNREACHED, STREAMED)).exchanges == ALL


def test_it_is_readable_and_only_what_is_no_text_is_encoded(tmp_path: Path) -> None:
    lines = written(tmp_path / "r.jsonl", STREAMED).read_text().split("\n")
    assert [next(iter(json.loads(line))) for line in lines[:-1]] == [
        *("format", "exchange", "status", "text", "base64", "base64", "end")
    ]
    assert "天气" in lines[1]


def test_other_times_change_one_line_of_an_exchange(tmp_path: Path) -> None:
    later = replace(STREAMED, head_ms=99.0, end_ms=200.0, pieces=tuple(Piece(150.0, p.data) for p in STREAMED.pieces))
    one = written(tmp_path / "1.jsonl", STREAMED).read_text().split("\n")
    other = written(tmp_path / "2.jsonl", later).read_text().split("\n")
    assert [number for number, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]] == [6]


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    odd = replace(WHOLE, request={"input": "a\ud83c"})
    assert Recording.load(written(tmp_path / "r.jsonl", odd)).exchanges == (odd,)


def test_types_that_were_removed_are_told(tmp_path: Path) -> None:
    RecordingFile(tmp_path / "r.jsonl", [SecretType.EMAIL]).close()
    assert Recording.load(tmp_path / "r.jsonl").redacted == (SecretType.EMAIL,)


def test_a_file_that_exists_is_kept_unless_it_shall_be_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", WHOLE)
    with pytest.raises(RecordingError, match="exists"):
        RecordingFile(path)
    assert Recording.load(path).exchanges == (WHOLE,)
    RecordingFile(path, overwrite=True).close()
    assert Recording.load(path).exchanges == ()


def test_a_crash_costs_the_last_exchange_at_most(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = len(written(tmp_path / "first.jsonl", STREAMED).read_bytes())
    whole = written(tmp_path / "whole.jsonl", STREAMED, WHOLE).read_bytes()
    torn = tmp_path / "torn.jsonl"
    for end in range(before + 1, len(whole) - 1):
        caplog.clear()
        torn.write_bytes(whole[:end])
        assert Recording.load(torn).exchanges == (STREAMED,)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_missing_last_line_feed_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "r.jsonl", WHOLE)
    path.write_bytes(path.read_bytes().rstrip())
    assert Recording.load(path).exchanges == (WHOLE,)
    assert caplog.records == []


def test_an_exchange_that_does_not_fit_leaves_no_trace(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "r.jsonl")
    file.append(WHOLE)
    before = (tmp_path / "r.jsonl").read_bytes()
    with largest_file(len(before) + 20), pytest.raises(RecordingError, match="cannot be written"):
        file.append(STREAMED)
    assert (tmp_path / "r.jsonl").read_bytes() == before
    file.append(UNREACHED)
    file.close()
    assert Recording.load(tmp_path / "r.jsonl").exchanges == (UNREACHED, WHOLE)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is no recording"),
        ("{}\n", "is no recording"),
        ('{"format": "agentrun-recording", "version": 2}\n', "has version 2"),
        ('{"format": "agentrun-recording", "version": 1, "redacted": ["shoes"]}\n', "'shoes'"),
        (f"{HEAD}\nnonsense\n{{}}\n", "line 2 is not a JSON object"),
        (f'{HEAD}\n{{"exchange": 1}}\n{{"end": "complete", "end_ms": 1}}\n', "ends on line 3"),
        (
            f'{HEAD}\n{{"exchange": 1, "operation": "o", "request": {{}}}}\n{{"status": 200}}\n{{"text": ""}}\n'
            '{"end": "complete", "end_ms": 1}\n',
            "pieces_ms",
        ),
        (
            f'{HEAD}\n{{"exchange": 1, "operation": "o", "request": {{}}}}\n{{"end": "whenever", "end_ms": 1}}\n',
            "whenever",
        ),
        (
            f'{HEAD}\n{{"exchange": 1, "operation": "o", "request": {{}}}}\n{{"status": 200}}\n{{"base64": "*"}}\n'
            '{"end": "complete", "pieces_ms": [1], "end_ms": 1}\n',
            "ends on line 5",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(RecordingError, match=r"r\.jsonl") as wrong:
        Recording.load(tmp_path / "r.jsonl")
    assert text in str(wrong.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.jsonl"):
        Recording.load(tmp_path / "none.jsonl")
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingFile(tmp_path, overwrite=True)
