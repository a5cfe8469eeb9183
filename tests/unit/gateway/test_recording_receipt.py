"""When a run was isolated, and what its receipt says when it was not."""

from __future__ import annotations

import json

import pytest

from agentrun.gateway.recording.receipt import Ledger, Receipt, Source, model_of

R, S, U, N = Source.RECORDING, Source.SCRIPTED, Source.UPSTREAM, Source.NOT_RECORDED


def receipt(*sources: Source, model: str = "m") -> Receipt:
    ledger = Ledger()
    for source in sources:
        ledger.count(model, source)
    return ledger.receipt()


@pytest.mark.parametrize(
    ("sources", "summary"),
    [
        ([R], "isolated: 1 model call, every one served from the recording"),
        ([R, R], "isolated: 2 model calls, every one served from the recording"),
        ([], "not isolated: no model was called"),
        ([R, S], "not isolated: of 2 model calls 1 answered by the scripted model"),
        ([R, U, U], "not isolated: of 3 model calls 2 sent to a real provider"),
        ([N], "not isolated: of 1 model call 1 refused, because the recording does not have it"),
        ([S, U], "not isolated: of 2 model calls 1 answered by the scripted model, 1 sent to a real provider"),
    ],
)
def test_only_a_run_with_calls_that_all_came_from_the_recording_is_isolated(
    sources: list[Source], summary: str
) -> None:
    found = receipt(*sources)
    assert found.summary() == summary
    assert found.isolated is summary.startswith("isolated")
    assert found.to_json()["isolated"] is found.isolated
    assert (found.to_json()["reason"] is None) is found.isolated


def test_calls_are_counted_for_each_model() -> None:
    ledger = Ledger()
    for model, source in (("b", R), ("a", U), ("b", N), ("b", R)):
        ledger.count(model, source)
    written = ledger.receipt({"file": "r.jsonl"}).to_json()
    nothing = {"total": 0, "recording": 0, "scripted": 0, "upstream": 0, "not_recorded": 0}
    assert written["calls"] == {**nothing, "total": 4, "recording": 2, "upstream": 1, "not_recorded": 1}
    assert written["models"] == {
        "a": {**nothing, "total": 1, "upstream": 1},
        "b": {**nothing, "total": 3, "recording": 2, "not_recorded": 1},
    }
    assert list(written["models"]) == ["a", "b"]
    assert Receipt.from_json(json.loads(json.dumps(written))).to_json() == written


def test_a_receipt_does_not_change_any_more() -> None:
    ledger = Ledger()
    ledger.count("m", R)
    before = ledger.receipt()
    ledger.count("m", U)
    assert before.isolated
    assert before.to_json()["models"]["m"]["total"] == 1


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "m"}', "m"),
        (b'{"messages": [{"content": "\\"model\\": \\"x\\""}], "model":"m"}', "m"),
        (b'{"metadata": {"model": "x"}, "model": "m"}', "m"),
        (b'{"tools": [{"properties": {"model": {"type": "string"}}}], "model": "m"}', "m"),
        ('{"model": "模型"}'.encode(), "模型"),
        (b'{"model": "a\\u0062"}', "ab"),
        (b'{"model": null}', ""),
        (b"[]", ""),
        (b"{", ""),
    ],
)
def test_the_model_is_read_out_of_a_body(body: bytes, model: str) -> None:
    assert model_of(body) == model
