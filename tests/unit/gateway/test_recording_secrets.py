"""Secrets leave a recording, by type, wherever they stand and however a body was cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest

from agentrun.gateway.recording.exchange import Piece
from agentrun.gateway.recording.matching import normalised
from agentrun.gateway.recording.redaction import Redactor, restored
from agentrun.gateway.recording.secret_types import SecretType

OPENAI = "sk-proj-abcdefghijklmnop0123456789ABCDEF"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nq83u+w==\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
SECRETS = {
    OPENAI: "api-key",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz": "api-key",
    "sk-0123456789abcdef0123456789abcdef": "api-key",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv": "api-key",
    "gsk_abcdefghijklmnopqrstuvwx": "api-key",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "api-key",
    "AKIAIOSFODNN7EXAMPLE": "access-key-id",
    "LTAI5tAbCdEfGhIjKlMnOpQr": "access-key-id",
    "STS.NUabcdefghijklmnopqrst": "access-key-id",
    JWT: "jwt",
    PEM: "private-key",
}
HARMLESS = (
    "ask-someone-who-knows-about-it-please",
    "a task-list-with-a-rather-long-name",
    "sk-short",
    "bearer of bad news",
    "write to bob@example.com or call +49 30 1234 5678",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "<api-key:x>",
)


def cut(body: bytes, *places: int) -> list[Piece]:
    ends = [*places, len(body)]
    return [Piece(float(n), body[a:b]) for n, (a, b) in enumerate(zip([0, *ends], ends, strict=False))]


def joined(pieces: Sequence[Piece]) -> str:
    return b"".join(piece.data for piece in pieces).decode()


def event(fields: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


def chunk(content: str, **more: Any) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, **more}]})


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "my key:{}.", "a\n{}\nb", "「{}」", "x={};", 'he said "{}"', "\\{}"])
def test_a_secret_becomes_a_placeholder_of_its_type(secret: str, around: str) -> None:
    text, expected = around.format(secret), around.format(f"<{SECRETS[secret]}:1>")
    assert Redactor().text(text) == expected
    body = json.dumps({"content": text, "inner": json.dumps({"a": text})}).encode()
    assert json.loads(joined(Redactor().body(cut(body)))) == {
        "content": expected,
        "inner": json.dumps({"a": expected}),
    }


def test_a_bearer_token_leaves_its_scheme() -> None:
    assert Redactor().text("Authorization: Bearer abcdefgh12345678+/==") == "Authorization: Bearer <bearer-token:1>"
    assert Redactor().text(f"Bearer {JWT}") == "Bearer <jwt:1>"


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_left_alone(text: str) -> None:
    assert Redactor().text(text) == text
    body = json.dumps({"content": text}).encode()
    assert joined(Redactor().body(cut(body))) == body.decode()


def test_a_private_key_that_was_cut_is_removed_as_far_as_it_goes() -> None:
    body = b'{"content": "it is -----BEGIN PRIVATE KEY-----\\nMIIEow", "role": "x"}'
    assert joined(Redactor().body(cut(body))) == '{"content": "it is <private-key:1>", "role": "x"}'
    assert Redactor().text("-----BEGIN PRIVATE KEY-----\nMIIEow") == "<private-key:1>"


@pytest.mark.parametrize("mail", ["bob@example.com", "b.o-b+x@mail.example.co.uk"])
@pytest.mark.parametrize("phone", ["13800138000", "+86 138 0013 8000", "+49 30 1234 5678", "(415) 555-0132"])
def test_mail_addresses_and_phone_numbers_are_removed_when_asked(mail: str, phone: str) -> None:
    redactor = Redactor([SecretType.EMAIL, SecretType.PHONE])
    assert redactor.text(f"{mail}, {phone}!") == "<email:1>, <phone:1>!"
    body = json.dumps({"content": f"at\n{mail}\nor\t{phone}"}).encode()
    assert json.loads(joined(redactor.body(cut(body)))) == {"content": "at\n<email:1>\nor\t<phone:1>"}


@pytest.mark.parametrize(
    "number", ["1760000000", "3.14159265358979", "2025-09-10", "0.000138001380001", "13800138000.5"]
)
def test_other_numbers_are_no_phone_numbers(number: str) -> None:
    assert Redactor([SecretType.PHONE]).text(f"at {number} it was") == f"at {number} it was"


def test_numbers_of_json_stay_numbers() -> None:
    body = b'{"id": 13800138000, "ids":[13800138000], "x":13800138000}'
    assert joined(Redactor([SecretType.PHONE]).body(cut(body))) == body.decode()


def test_equal_secrets_stay_equal_and_others_differ() -> None:
    redactor = Redactor()
    assert redactor.value({"a": OPENAI, "b": ["AKIAIOSFODNN7EXAMPLE", f"{OPENAI} {OPENAI}2"]}) == {
        "a": "<api-key:1>",
        "b": ["<access-key-id:1>", "<api-key:1> <api-key:2>"],
    }
    assert redactor.text(OPENAI) == "<api-key:1>"
    assert json.loads(joined(redactor.body(cut(json.dumps({"x": OPENAI}).encode())))) == {"x": "<api-key:1>"}


def test_a_key_with_line_ends_is_the_same_in_json_and_out_of_it() -> None:
    redactor = Redactor()
    assert redactor.text(PEM) == joined(redactor.body(cut(json.dumps(PEM).encode()))).strip('"') == "<private-key:1>"


def test_names_of_fields_are_looked_at() -> None:
    assert Redactor().value({OPENAI: 1}) == {"<api-key:1>": 1}


def test_known_secrets_need_no_look() -> None:
    redactor = Redactor(known=["correct horse", "short"])
    redactor.know(['quo"te secret'])
    assert redactor.text("correct horse, short") == "<api-key:1>, short"
    body = json.dumps({"x": 'a quo"te secret'}).encode()
    assert json.loads(joined(redactor.body(cut(body)))) == {"x": "a <api-key:2>"}


def test_a_body_without_secrets_is_the_very_pieces() -> None:
    pieces = cut("天气 x".encode(), 1, 4)
    assert list(Redactor().body(pieces)) == pieces


def test_wherever_a_body_is_cut_no_part_of_a_secret_stays() -> None:
    body = f'{{"a": "天 {OPENAI}", "b": "{OPENAI}"}}'.encode()
    expected = '{"a": "天 <api-key:1>", "b": "<api-key:1>"}'
    for place in range(1, len(body)):
        pieces = Redactor().body(cut(body, place))
        assert joined(pieces) == expected
        assert all(piece.data for piece in pieces)
        assert body.startswith(pieces[0].data) or b"<api-key:1>" in pieces[0].data


def test_cuts_outside_of_secrets_stay_where_they_were() -> None:
    body = f"before {OPENAI} between {OPENAI} after".encode()
    places = [3, 20, 52, len(body) - 2]
    pieces = Redactor().body(cut(body, *places))
    assert [piece.data for piece in pieces] == [b"bef", b"ore <api-key:1>", b" betw", b"een <api-key:1> aft", b"er"]
    assert [piece.ms for piece in pieces] == [0, 1, 2, 3, 4]


def test_a_piece_inside_of_a_secret_goes_with_it() -> None:
    body = f"x {OPENAI} y".encode()
    pieces = Redactor().body(cut(body, 10, 20, 30))
    assert pieces == (Piece(0.0, b"x <api-key:1>"), Piece(3.0, b" y"))


def test_a_secret_that_is_streamed_word_by_word_is_found() -> None:
    words = ["my key: ", OPENAI[:3], OPENAI[3:20], "", OPENAI[20:] + " ok"]
    events = [chunk(word) for word in words]
    pieces = Redactor().body(cut(b"".join(events), *list(accumulate(map(len, events)))[:-1]))
    assert len(pieces) == len(events)
    said = [json.loads(piece.data[6:])["choices"][0]["delta"]["content"] for piece in pieces]
    assert said == ["my key: ", "<api-key:1>", "", "", " ok"]


def test_texts_that_are_streamed_at_once_are_told_apart() -> None:
    halves = [(0, OPENAI[:20]), (1, "what "), (0, OPENAI[20:]), (1, "else")]
    calls = [
        event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": n, "function": {"arguments": text}}]}}]})
        for n, text in halves
    ]
    found = joined(Redactor().body(cut(b"".join(calls))))
    texts = [
        json.loads(line[6:])["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]
        for line in found.split("\n\n")[:-1]
    ]
    assert texts == ["<api-key:1>", "what ", "", "else"]


def test_the_responses_protocol_streams_in_fields_named_delta() -> None:
    kind = "response.output_text.delta"
    parts = [event({"type": kind, "item_id": "i", "delta": text}) for text in ("a ", OPENAI[:9], OPENAI[9:])]
    found = joined(Redactor().body(cut(b"".join(parts))))
    assert [json.loads(line[6:])["delta"] for line in found.split("\n\n")[:-1]] == ["a ", "<api-key:1>", ""]


@pytest.mark.parametrize(
    "odd", [b"data: {broken\n\n", b"data: [1]\n\n", b'data: {"a": "x", "a": "y"}\n\n', b": hi\n\n"]
)
def test_odd_events_are_looked_at_as_text(odd: bytes) -> None:
    body = odd + chunk(OPENAI)
    assert joined(Redactor().body(cut(body))) == body.decode().replace(OPENAI, "<api-key:1>")


# Requests are the same whichever secrets they hold


def test_a_request_with_another_secret_is_the_same() -> None:
    recorded = Redactor().value({"a": "the first", "b": f"{OPENAI} and AKIAIOSFODNN7EXAMPLE"})
    asked = {"b": "sk-another-0123456789abcdef and LTAI5tAbCdEfGhIjKlMnOpQr", "a": "the first"}
    assert normalised("o", recorded).key == normalised("o", asked).key


def test_numbers_of_placeholders_depend_on_the_request_alone() -> None:
    redactor = Redactor()
    redactor.text("sk-0123456789abcdef0123456789abcdef")
    assert redactor.text(OPENAI) == "<api-key:2>"
    assert normalised("o", {"a": redactor.text(OPENAI)}).key == normalised("o", {"a": OPENAI}).key


def test_a_request_in_which_equal_secrets_have_become_two_is_another() -> None:
    other = "sk-0123456789abcdef0123456789abcdef"
    assert normalised("o", {"a": [OPENAI, OPENAI]}).key != normalised("o", {"a": [OPENAI, other]}).key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1.0}, "a": 1}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": None}, {}, False),
        ({"a": "é"}, {"a": "e"}, False),
    ],
)
def test_requests_are_compared_by_value(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (normalised("o", one).key == normalised("o", other).key) is same
    assert normalised("o", one).key != normalised("p", one).key


def test_placeholders_are_replaced_all_at_once() -> None:
    swapped = {"<api-key:1>": "<api-key:2>", "<api-key:2>": 'a "quote"'}
    assert restored(b'{"x": "<api-key:1> <api-key:2> <api-key:3>"}', swapped) == (
        b'{"x": "<api-key:2> a \\"quote\\" <api-key:3>"}'
    )
