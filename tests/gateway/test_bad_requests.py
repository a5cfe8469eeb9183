"""Calls that are not as they should be get an error that says so, and reach no endpoint."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import openai
import pytest

from tests.gateway.answers import completion
from tests.gateway.serving import MESSAGES, PATIENCE, Running, before, chat, one, serving_gateway
from tests.unit.servers import serving

KEYS: Any = {"keys": {"me": {"key": "sk-right", "tenant": "t"}, "you": {"key": "sk-yours"}}}

WRONG: dict[str, tuple[Any, str, str | None]] = {
    "no JSON": (b"{", "not valid JSON", None),
    "nothing": (b" ", "not valid JSON", None),
    "no UTF-8": (b'{"model": "\xff"}', "not valid JSON", None),
    "a list": (b"[1]", "must be a JSON object", None),
    "null": (b"null", "must be a JSON object", None),
    "too deep": (b'{"model": ' * 100_000, "not valid JSON", None),
    "too many digits": (b'{"n": %b}' % (b"9" * 10_000), "not valid JSON", None),
    "a model that is a number": (chat(model=1), "model must be a string", "model"),
    "a model that is an object": (chat(model={}), "model must be a string", "model"),
    "a stream that is text": (chat(stream="yes"), "stream must be a boolean", "stream"),
    "options that are text": (
        chat(stream=True, stream_options="all"),
        "stream_options must be an object",
        "stream_options",
    ),
    "options that are a list": (
        chat(stream=True, stream_options=[1]),
        "stream_options must be an object",
        "stream_options",
    ),
}


@pytest.mark.parametrize("how", sorted(WRONG))
def test_wrong_bodies(how: str) -> None:
    body, text, param = WRONG[how]
    with before(completion(), gateway={"prices": {"*": {"input": 1}}}) as (gateway, [server]):
        got = gateway.post(body)
        assert gateway.post().status_code == 200
    assert got.status_code == 400
    assert text in got.json()["error"]["message"]
    assert (got.json()["error"]["param"], got.json()["error"]["type"]) == (param, "invalid_request_error")
    assert len(server.requests) == 1


ODD: dict[str, bytes] = {
    "surrogates": b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800 \\ude00 \\ud83d\\ude00"}]}',
    "surrogates in names": b'{"model": "m", "\\ud800": 1}',
    "a byte order mark": b'\xef\xbb\xbf{"model": "m"}',
    "UTF-16": json.dumps({"model": "m"}).encode("utf-16"),
    "no numbers": b'{"model": "m", "x": [NaN, Infinity, 1e999]}',
    "names twice": b'{"model": "n", "model": "m"}',
    "deep": b'{"model": "m", "x": ' + b"[" * 150 + b"]" * 150 + b"}",
    "messages that are no list": b'{"model": "m", "messages": 5}',
    "zeros": b'{"model": "m", "x": "\\u0000"}',
}


@pytest.mark.parametrize("how", sorted(ODD))
def test_odd_bodies_reach_the_endpoint_with_the_same_meaning(how: str) -> None:
    with serving(completion()) as server:
        endpoint = {"base_url": server.url, "model_mapping": {"m": "other"}}
        with serving_gateway(one(endpoint, mode="multi")) as gateway:
            assert gateway.post(ODD[how]).status_code == 200
    sent = json.loads(server.requests[0].body)
    assert repr(sent) == repr({**json.loads(ODD[how]), "model": "other"})


def test_a_model_that_is_half_a_surrogate_is_unknown() -> None:
    known = one({"base_url": "http://127.0.0.1:1", "model_names": ["m"]}, mode="multi")
    with serving_gateway(known) as gateway:
        got = gateway.post(b'{"model": "\\ud800"}')
    assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")


PATHS = [
    ("GET", "/v1/chat/completions", 405),
    ("DELETE", "/v1/chat/completions", 405),
    ("POST", "/v1/models", 405),
    ("POST", "/v1/chat/completion", 404),
    ("POST", "/v1/chat/completions/", 404),
    ("GET", "/v1/models/none", 404),
    ("GET", "/", 404),
    ("GET", "/v1", 404),
    ("GET", "/%00%ff", 404),
    ("GET", "/models/none/v1/models", 404),
    ("POST", "/models//v1/chat/completions", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), PATHS)
def test_paths_and_methods(method: str, path: str, status: int) -> None:
    with before(completion()) as (gateway, _):
        got = gateway.http.request(method, f"{gateway.root}{path}", json=chat() if method == "POST" else None)
    assert got.status_code == status
    if status != 200:
        assert set(got.json()["error"]) == {"message", "type", "param", "code"}


def test_an_unknown_path_names_those_that_are_known() -> None:
    with before(completion()) as (gateway, _):
        assert "/v1/chat/completions" in gateway.post(path="/chats").json()["error"]["message"]


@pytest.mark.parametrize("header", ["authorization", "agentrun-access-token", "x-api-key", "api-key"])
def test_keys_are_taken_from_any_header_that_clients_use(header: str) -> None:
    key = "Bearer sk-yours" if header == "authorization" else "sk-yours"
    with serving(completion()) as server, serving_gateway(one(server.url), **KEYS) as gateway:
        assert gateway.post(**{header: key}).status_code == 200
        wrong = gateway.post(**{header: f"{key}x"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "API key mismatch" in wrong.json()["error"]["message"]
    assert not any("sk-" in value for value in server.requests[0].headers.values())


def test_a_call_without_a_key_is_told_how_to_send_one() -> None:
    with serving(completion()) as server, serving_gateway(one(server.url), **KEYS) as gateway:
        for authorization in ("", "Basic sk-right", "Bearer", "sk-right"):
            got = gateway.post(authorization=authorization)
            assert (got.status_code, got.json()["error"]["code"]) == (401, "missing_api_key")
            assert "Authorization: Bearer" in got.json()["error"]["message"]
            assert got.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/metrics"):
            assert gateway.http.get(f"{gateway.root}{path}").status_code == 200
    assert not server.requests


def test_the_foreign_client_sees_errors_of_its_own() -> None:
    with serving(completion()) as server, serving_gateway(one(server.url), **KEYS) as gateway:
        with gateway.client("sk-wrong") as client, pytest.raises(openai.AuthenticationError, match="API key mismatch"):
            client.chat.completions.create(model="chat", messages=MESSAGES)
        with gateway.client("sk-right") as client:
            assert client.chat.completions.create(model="chat", messages=MESSAGES).id == "c"
            assert [model.id for model in client.models.list()] == ["chat"]


LARGE = 65 * 2**20


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_is_too_large(framing: str) -> None:
    body = b'{"model": "chat", "user": "' + b"x" * LARGE
    content = body if framing == "length" else (body[at : at + 2**20] for at in range(0, len(body), 2**20))
    with before(completion()) as (gateway, [server]):
        got = httpx.post(f"{gateway.url}/chat/completions", content=content, timeout=PATIENCE, trust_env=False)
        assert gateway.post().status_code == 200
    assert (got.status_code, got.json()["error"]["code"]) == (413, "request_too_large")
    assert "64 MiB" in got.json()["error"]["message"]
    assert len(server.requests) == 1


def said(gateway: Running, *parts: bytes) -> bytes:
    """What comes back for these bytes until the server closes."""
    with gateway.connect() as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: x\r\n\r\n"],
)
def test_what_is_no_http_is_refused(nonsense: bytes) -> None:
    with before(completion()) as (gateway, [server]):
        assert said(gateway, nonsense).startswith(b"HTTP/1.1 400")
        assert gateway.post().status_code == 200
    assert len(server.requests) == 1


def test_a_caller_that_leaves_in_the_middle_of_its_question_is_forgotten() -> None:
    with before(completion()) as (gateway, [server]):
        for _ in range(20):
            said(gateway, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert gateway.post().status_code == 200
        assert gateway.stats()["inFlight"] == 0
    assert len(server.requests) == 1


def test_headers_of_callers_that_are_meant_for_nobody_else_stay_here() -> None:
    with before(completion()) as (gateway, [server]):
        gateway.post(cookie="secret", authorization="Bearer secret", traceparent="00-1-2-01", expect="nothing")
    assert "secret" not in str(server.requests[0].headers)
    assert server.requests[0].headers["traceparent"] == "00-1-2-01"
