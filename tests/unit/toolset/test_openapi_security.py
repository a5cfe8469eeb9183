"""Credentials go where their schemes say, when they are needed, and show nowhere."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from agentrun.config import Config
from agentrun.errors import AgentRunError, InvalidInputError
from agentrun.toolset.openapi import ApiSet, OpenAPI
from tests.unit.servers import answer, closed_port, serving
from tests.unit.toolset.documents import minimal, sent

SECRET = "s3cr3t-0f-all"
SCHEMES: dict[str, Any] = {
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
    "basic": {"type": "http", "scheme": "Basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "oauth": {"type": "oauth2", "flows": {}},
    "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://example.com"},
    "digest": {"type": "http", "scheme": "digest"},
    "referred": {"$ref": "#/components/securitySchemes/header"},
}


def secured(*ways: dict[str, list[str]], general: Any = None, parameters: Any = ()) -> dict[str, Any]:
    operation: dict[str, Any] = {"parameters": list(parameters)}
    if ways:
        operation["security"] = list(ways)
    document = minimal(operation, components={"securitySchemes": SCHEMES})
    return document if general is None else {**document, "security": general}


@pytest.mark.parametrize(
    ("scheme", "value", "header", "expected"),
    [
        ("header", SECRET, "x-key", SECRET),
        ("referred", SECRET, "x-key", SECRET),
        ("cookie", SECRET, "cookie", f"session={SECRET}"),
        ("bearer", SECRET, "authorization", f"Bearer {SECRET}"),
        ("oauth", SECRET, "authorization", f"Bearer {SECRET}"),
        ("oidc", SECRET, "authorization", f"Bearer {SECRET}"),
        ("digest", f"Digest {SECRET}", "authorization", f"Digest {SECRET}"),
        ("basic", ("me", SECRET), "authorization", "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()),
        ("basic", f"me:{SECRET}", "authorization", "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()),
        ("bearer", lambda: SECRET, "authorization", f"Bearer {SECRET}"),
    ],
)
def test_a_value_goes_where_its_scheme_says(scheme: str, value: Any, header: str, expected: str) -> None:
    assert sent(secured({scheme: []}), {}, auth={scheme: value}).headers[header] == expected


def test_a_key_in_the_query_is_sent_and_not_shown() -> None:
    parameters = [{"name": "q", "in": "query", "schema": {"type": "string"}}]
    with serving(answer(b"")) as server:
        client = OpenAPI(
            secured({"query": []}, parameters=parameters),
            server.url,
            query_params={"v": "a b"},
            auth={"query": "a&b+c"},
        )
        result = client.invoke_tool("call", {"q": "x"})
        assert server.requests[0].path == "/things?q=x&v=a+b&key=a%26b%2Bc"
        assert result["url"] == f"{server.url}/things?q=x&v=***&key=***"


def test_a_value_that_is_rotated_takes_effect_at_once() -> None:
    values = iter(["first", "second"])
    with serving(answer(b"")) as server:
        client = OpenAPI(secured({"bearer": []}), server.url, auth={"bearer": lambda: next(values)})
        for _ in range(2):
            client.invoke_tool("call")
        assert [each.headers["authorization"] for each in server.requests] == ["Bearer first", "Bearer second"]


def test_the_first_way_that_is_complete_is_used() -> None:
    document = secured({"header": [], "cookie": []}, {"bearer": []}, {})
    request = sent(document, {}, auth={"header": "a", "bearer": "b"})
    assert ("x-key" in request.headers, request.headers["authorization"]) == (False, "Bearer b")
    both = sent(document, {}, auth={"header": "a", "cookie": "c", "bearer": "b"})
    assert (both.headers["x-key"], both.headers["cookie"], "authorization" in both.headers) == ("a", "session=c", False)


def test_cookies_of_arguments_and_credentials_are_one_header() -> None:
    parameters = [{"name": "a", "in": "cookie", "schema": {"type": "string"}}]
    request = sent(secured({"cookie": []}, parameters=parameters), {"a": "1"}, auth={"cookie": "2"})
    assert request.headers["cookie"] == "a=1; session=2"


def test_what_an_operation_says_wins_over_the_document() -> None:
    general: list[dict[str, list[str]]] = [{"header": []}]
    auth = {"header": "a", "bearer": "b"}
    assert sent(secured(general=general), {}, auth=auth).headers["x-key"] == "a"
    assert "x-key" not in sent(secured({"bearer": []}, general=general), {}, auth=auth).headers
    open_to_all = secured(general=general)
    open_to_all["paths"]["/things"]["get"]["security"] = []
    assert "x-key" not in sent(open_to_all, {}, auth=auth).headers


def test_a_document_that_asks_for_nothing_gets_what_was_given() -> None:
    assert sent(secured(), {}, auth={"header": "a"}).headers["x-key"] == "a"


def test_without_a_value_the_request_goes_without() -> None:
    request = sent(secured({"bearer": []}), {})
    assert "authorization" not in request.headers


def test_headers_of_the_caller_win() -> None:
    request = sent(secured({"bearer": []}), {}, auth={"bearer": "a"}, headers={"Authorization": "mine", "X-More": "1"})
    assert (request.headers["authorization"], request.headers["x-more"]) == ("mine", "1")


def test_headers_of_the_config_go_only_to_a_server_that_the_caller_named() -> None:
    config = Config(headers={"X-Platform": SECRET})
    with serving(answer(b"")) as server:
        document = {**minimal(), "servers": [{"url": server.url}]}
        OpenAPI(document, config=config).invoke_tool("call")
        OpenAPI(document, server.url, config=config).invoke_tool("call")
        assert [each.headers.get("x-platform") for each in server.requests] == [None, SECRET]


def test_a_value_for_a_scheme_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"no security scheme 'beerer'. Did you mean bearer\?") as caught:
        OpenAPI(secured(), auth={"beerer": SECRET})
    assert caught.value.field == "auth.beerer"
    with pytest.raises(InvalidInputError, match="The document has none"):
        OpenAPI(minimal(), auth={"a": SECRET})


@pytest.mark.parametrize(
    ("scheme", "value", "said"),
    [
        ("basic", SECRET, "needs a user name and a password"),
        ("bearer", "", "needs a text that is not empty"),
        ("bearer", lambda: None, "needs a text"),
        ("header", SECRET + "\n", "has a value that a header cannot have"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_showing_it(scheme: str, value: Any, said: str) -> None:
    client = OpenAPI(secured({scheme: []}), "http://127.0.0.1:1", auth={scheme: value})
    with pytest.raises(InvalidInputError, match=said) as caught:
        client.invoke_tool("call")
    assert SECRET not in str(caught.value)


def test_a_broken_scheme_is_an_error_with_its_place() -> None:
    document = minimal(components={"securitySchemes": {"k": {"type": "apiKey", "in": "body"}}})
    with pytest.raises(InvalidInputError) as caught:
        OpenAPI(document)
    assert caught.value.field == "components.securitySchemes.k"


def test_secrets_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    auth: dict[str, Any] = {
        "header": SECRET,
        "query": SECRET,
        "bearer": lambda: SECRET,
        "basic": ("me", SECRET),
        "cookie": SECRET,
    }
    options: dict[str, Any] = {"headers": {"X-Mine": SECRET}, "query_params": {"mine": SECRET}}
    document = secured({name: [] for name in ("header", "query", "bearer", "cookie")})
    with serving(answer(b"", 500)) as server:
        client = OpenAPI(document, server.url, auth=auth, **options)
        tools = ApiSet.from_openapi_schema(document, server.url, auth=auth, **options)
        result = client.invoke_tool("call")
        with pytest.raises(AgentRunError) as failed:
            result.raise_for_status()
    refused = OpenAPI(document, f"http://127.0.0.1:{closed_port()}", auth=auth, **options)
    with pytest.raises(AgentRunError) as unreachable:
        refused.invoke_tool("call", config=Config(max_retries=0))
    shown = [
        client,
        refused,
        tools,
        result,
        failed.value,
        unreachable.value,
        client.__dict__,
        vars(client),
        vars(tools),
    ]
    assert SECRET not in "".join(map(repr, shown)) + str(failed.value) + str(unreachable.value) + caplog.text
