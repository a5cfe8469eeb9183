"""What a call gives: results by content type, errors as results, typed errors for the rest; in both modes."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from agentrun._core.session import Request
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ConnectError,
    Executed,
    InvalidInputError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from agentrun.toolset.openapi import OpenAPI, OpenAPIResult
from tests.unit.modes import both_modes, drive
from tests.unit.servers import MISBEHAVIOURS, after, answer, closed_port, serving
from tests.unit.toolset.documents import document_of, minimal


def called(mode: str, url: str, document: Any = None, arguments: Any = None, **options: Any) -> OpenAPIResult:
    client = OpenAPI(document or minimal(), url, **options)
    return drive(mode, client.invoke_tool_async("call", arguments))


@both_modes
def test_a_result_is_the_official_mapping_with_attributes(mode: str) -> None:
    with serving(answer({"a": [1]}, 201, {"content-type": "application/json", "X-Header": "h"})) as server:
        url = server.url
        result = called(mode, url)
    assert set(result) == {"status_code", "headers", "body", "raw_body", "url", "method"}
    assert (result.status_code, result.body, result.raw_body) == (201, {"a": [1]}, '{"a": [1]}')
    assert (result["url"], result["method"], result.headers["x-header"]) == (f"{url}/things", "GET", "h")
    assert json.loads(json.dumps(result)) == result
    assert (result.is_error, result.raise_for_status()) == (False, result)


@pytest.mark.parametrize(
    ("content", "kind", "body"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
        (b"[1]", "", [1]),
        (b"{broken", "application/json", "{broken"),
        ("é".encode(), "text/plain", "é"),
        ("é".encode("latin-1"), "text/plain; charset=iso-8859-1", "é"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"\x89PNG\xff", "image/png", b"\x89PNG\xff"),
        (b"text", "application/octet-stream", b"text"),
        (b"\xff\xfe", "text/plain", b"\xff\xfe"),
        (b"", "application/json", None),
    ],
)
def test_the_body_is_read_by_its_type(content: bytes, kind: str, body: Any) -> None:
    headers = {"content-type": kind} if kind else {}
    with serving(answer(content, headers=headers)) as server:
        result = called("sync", server.url)
    assert result.body == body
    assert result.raw_body == (
        body if isinstance(body, bytes) else content.decode("latin-1" if "8859" in kind else "utf-8")
    )


def test_a_packed_answer_is_unpacked() -> None:
    with serving(
        answer(gzip.compress(b'{"a": 1}'), headers={"content-encoding": "gzip", "content-type": "application/json"})
    ) as server:
        assert called("sync", server.url).body == {"a": 1}


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (404, AgentRunError), (429, RateLimitError), (500, ServerError)]
)
@both_modes
def test_an_error_status_is_a_result(mode: str, status: int, kind: type[AgentRunError]) -> None:
    said = {"message": "that is not how", "code": "NO"}
    headers = {"content-type": "application/json", "retry-after": "1000"}
    with serving(answer(said, status, headers)) as server:
        result = called(mode, server.url, config=Config(max_retries=0))
    assert (result.status_code, result.body, result.is_error) == (status, said, True)
    with pytest.raises(kind, match="that is not how") as caught:
        result.raise_for_status()
    assert (caught.value.status_code, caught.value.error_code) == (status, "NO")


@both_modes
def test_a_server_that_cannot_be_reached(mode: str) -> None:
    with pytest.raises(ConnectError) as caught:
        called(mode, f"http://127.0.0.1:{closed_port()}", config=Config(max_retries=0))
    assert caught.value.executed is Executed.NO


@pytest.mark.parametrize("how", [name for name in MISBEHAVIOURS if "silent" not in name and "trickles" not in name])
def test_a_server_that_misbehaves_brings_a_result_or_a_typed_error(how: str) -> None:
    with serving(MISBEHAVIOURS[how]) as server, suppress(AgentRunError):
        assert isinstance(called("sync", server.url, config=Config(max_retries=0)), OpenAPIResult)


@both_modes
def test_the_timeout_bounds_the_whole_call(mode: str) -> None:
    with serving(after(30, answer(b""))) as server, pytest.raises(RequestTimeoutError):
        called(mode, server.url, timeout=0.3, config=Config(max_retries=0))


@both_modes
def test_only_what_reads_is_sent_again(mode: str) -> None:
    with serving(answer(b"", 503), answer(b"", 200)) as server:
        assert called(mode, server.url).status_code == 200
        assert len(server.requests) == 2
    with serving(answer(b"", 503), answer(b"", 200)) as server:
        assert called(mode, server.url, minimal(method="post")).status_code == 503
        assert len(server.requests) == 1


@both_modes
def test_calls_share_a_connection(mode: str) -> None:
    with serving(answer(b"{}")) as server:
        client = OpenAPI(minimal(), server.url)

        async def several() -> None:
            for _ in range(5):
                await client.invoke_tool_async("call")

        drive(mode, several())
        assert (server.accepted, len(server.requests)) == (1, 5)


def test_a_redirect_is_not_followed() -> None:
    with serving(answer(b"", 302, {"location": "http://127.0.0.1:1/"})) as server:
        assert called("sync", server.url).status_code == 302


def test_the_answers_that_are_wanted_are_named() -> None:
    content: dict[str, Any] = {"text/html": {}, "application/json": {}}
    document = minimal({"responses": {"200": {"content": content}, "404": {"content": {"text/plain": {}}}}})
    with serving(answer(b"")) as server:
        called("sync", server.url, document)
        called("sync", server.url)
        assert [each.headers["accept"] for each in server.requests] == ["application/json, text/html", "*/*"]


@pytest.mark.parametrize("method", ["get", "put", "post", "delete", "options", "head", "patch", "trace"])
def test_every_method(method: str) -> None:
    with serving(answer(b"")) as server:
        assert called("sync", server.url, minimal(method=method))["method"] == method.upper()
        assert server.requests[0].method == method.upper()


def test_an_unknown_tool_is_an_error_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match=r"no tool 'cal'. Did you mean call\?"):
        OpenAPI(minimal()).invoke_tool("cal")


# Servers


def with_servers(document: dict[str, Any], item: Any = None, operation: Any = None) -> dict[str, Any]:
    if item:
        document["paths"]["/things"]["servers"] = [{"url": item}]
    if operation:
        document["paths"]["/things"]["get"]["servers"] = [{"url": operation}]
    return document


def test_the_innermost_server_is_called() -> None:
    with serving(answer(b"")) as server:
        document = {**minimal(), "servers": [{"url": f"{server.url}/root/"}]}
        OpenAPI(document).invoke_tool("call")
        OpenAPI(with_servers(document, item=f"{server.url}/item")).invoke_tool("call")
        OpenAPI(with_servers(document, operation=f"{server.url}/operation")).invoke_tool("call")
        OpenAPI(document, f"{server.url}/mine/").invoke_tool("call")
        paths = [each.path for each in server.requests]
        assert paths == ["/root/things", "/item/things", "/operation/things", "/mine/things"]


def test_variables_of_a_server() -> None:
    with serving(answer(b"")) as server:
        port = server.url.rpartition(":")[2]
        variables = {"port": {"default": port}, "stage": {"default": "live", "enum": ["live", "test"]}}
        document = {**minimal(), "servers": [{"url": "http://127.0.0.1:{port}/{stage}", "variables": variables}]}
        OpenAPI(document).invoke_tool("call")
        OpenAPI(document, server_variables={"stage": "test"}).invoke_tool("call")
        assert [each.path for each in server.requests] == ["/live/things", "/test/things"]
        with pytest.raises(InvalidInputError, match="Allowed are: live, test") as caught:
            OpenAPI(document, server_variables={"stage": "other"}).invoke_tool("call")
        assert caught.value.field == "server_variables.stage"


def test_the_server_of_a_document() -> None:
    assert OpenAPI(minimal()).server_url == "http://127.0.0.1:1"
    assert OpenAPI(minimal(), "http://127.0.0.1:2/").server_url == "http://127.0.0.1:2"
    assert OpenAPI({**minimal(), "servers": []}).server_url is None


def test_a_request_is_signed_each_time_it_is_sent() -> None:
    numbers = iter(range(10))

    def sign(request: Request) -> dict[str, str]:
        return {"x-signed": f"{request.method} {request.url.rpartition('/')[2]} {next(numbers)}", "x-h": "signed"}

    with serving(answer(b"", 503), answer(b"")) as server:
        OpenAPI(minimal(), server.url, headers={"X-H": "mine"}, sign=sign).invoke_tool("call")
        received = [(each.headers["x-signed"], each.headers["x-h"]) for each in server.requests]
    assert received == [("GET things 0", "signed"), ("GET things 1", "signed")]


def definitions_of(client: OpenAPI, name: str) -> int:
    return len(client.operation(name).definition.parameters.get("$defs", {}))


def test_many_threads_may_use_one_client_from_the_start() -> None:
    document = document_of("kubernetes.io.json")
    paths: dict[str, Any] = document.root["paths"]
    names = [str(item["get"]["operationId"]) for item in paths.values() if "get" in item][:200]
    client, alone = OpenAPI(document), OpenAPI(document)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(partial(definitions_of, client), names * 4))
    assert found == [definitions_of(alone, name) for name in names] * 4


@pytest.mark.parametrize("servers", [None, [], [{"url": "/v1"}], [{"url": "ftp://example.com"}]])
def test_a_document_that_does_not_say_where_its_server_is(servers: Any) -> None:
    document = {**minimal(), "servers": servers}
    with pytest.raises(InvalidInputError, match="Give base_url"):
        OpenAPI(document).invoke_tool("call")


def test_a_variable_without_a_value() -> None:
    with pytest.raises(InvalidInputError, match="needs a value for 'region'"):
        OpenAPI({**minimal(), "servers": [{"url": "https://{region}.example.com"}]}).invoke_tool("call")


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com", "http://", "http://a?b=c", "http://a:99999"])
def test_a_base_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        OpenAPI(minimal(), url)
    assert caught.value.field == "base_url"
