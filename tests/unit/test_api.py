"""How the two planes are called: paths, queries, headers, envelopes and what errors say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from agentrun._core import signing
from agentrun._core.api import ControlAPI, DataAPI, Operation, data_headers, query_pairs, segment
from agentrun._core.credentials import Credentials
from agentrun._core.model import Model
from agentrun._core.session import ByteStream
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ClientError,
    Executed,
    HTTPError,
    InvalidInputError,
    InvalidResponseError,
    RateLimitError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    ServerError,
    UnsupportedError,
)
from tests.unit.modes import both_modes, drive

GET = Operation("GetThing", "GET", "/2025-09-10/things/{name}")
GET_PART = Operation("GetPart", "GET", "/2025-09-10/things/{name}/parts/{part}")
CREATE = Operation("CreateThing", "POST", "/2025-09-10/things")


class Thing(Model):
    thing_name: str | None = None
    page_size: int | None = None


class Things(ControlAPI):
    kind = "Thing"

    async def call(self, operation: Operation, *names: str, **options: Any) -> dict[str, Any]:
        return await self._call(operation, *names, **options)


class Running(DataAPI):
    async def call(self, method: str, path: str = "", **options: Any) -> Any:
        return await self._call(method, path, **options)

    async def enveloped(self, method: str, path: str = "", **options: Any) -> dict[str, Any]:
        return await self._call_enveloped(method, path, **options)

    async def open(self, method: str, path: str = "", **options: Any) -> ByteStream:
        return await self._open(method, path, **options)


class Service(httpx.MockTransport):
    """Answers everything alike and remembers what was asked; a transport in both modes."""

    def __init__(self, status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body or {"code": "SUCCESS", "data": {}}).encode()
        self.asked: list[httpx.Request] = []
        super().__init__(self._remember(lambda: httpx.Response(status, content=content, headers=headers)))

    def _remember(self, answer: Callable[[], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
        def handle(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            return answer()

        return handle

    def config(self, **changes: Any) -> Config:
        return Config.local().replace(transport=self, max_retries=0, **changes)


# Paths and queries


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_cannot_be_a_segment(name: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a name"):
        segment(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a-b_c.d~e", "a-b_c.d~e"), ("a/b", "a%2Fb"), ("../x", "..%2Fx"), ("ü ?#%", "%C3%BC%20%3F%23%25"), ("...", "...")],
)
def test_a_segment_is_encoded(name: str, text: str) -> None:
    assert segment(name) == text


@both_modes
def test_names_fill_the_path_in_order(mode: str) -> None:
    service = Service()
    drive(mode, Things(service.config()).call(GET_PART, "a/b", "ü"))
    assert service.asked[0].url.raw_path == b"/2025-09-10/things/a%2Fb/parts/%C3%BC"


def test_a_name_that_is_none_sends_nothing() -> None:
    service = Service()
    for name in ("", ".."):
        with pytest.raises(InvalidInputError):
            drive("sync", Things(service.config()).call(GET, name))
    with pytest.raises(InvalidInputError):
        Running("sandboxes", "..")
    assert service.asked == []


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (None, []),
        ({"b": 1, "a": None, "c": True, "d": False}, [("b", "1"), ("c", "true"), ("d", "false")]),
        ({"states": ["A", "B"], "one": ("x",)}, [("one", "x"), ("states", "A,B")]),
        (Thing(thing_name="x", page_size=5), [("pageSize", "5"), ("thingName", "x")]),
        (Thing(), []),
    ],
)
def test_queries(query: Any, pairs: list[tuple[str, str]]) -> None:
    assert query_pairs(query) == pairs


@both_modes
def test_queries_arrive_as_they_were_meant(mode: str) -> None:
    service = Service()
    query = {"q": "a b+c&d=e/ü~", "a&b": "1", "empty": ""}
    drive(mode, Things(service.config()).call(GET, "x", query=query))
    drive(mode, Running("x").call("GET", query=query, config=service.config()))
    for request in service.asked:
        assert dict(request.url.params) == query
        assert verified(request)


# Signatures, as a verifier sees them


def verified(request: httpx.Request) -> bool:
    """Whether the signature covers the request as it was sent."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    path, query = request.url.raw_path.decode().partition("?")[::2]
    data = signing.DATA_HEADER.lower() in headers
    given = signing.parse_authorization(headers[signing.DATA_HEADER.lower() if data else "authorization"])
    assert given is not None
    if data:
        date, region, *_ = given.scope.split("/")
        signature = signing.sign_data(
            "local-secret", date, region, request.method, path, query, headers, given.signed_headers
        )
    else:
        pairs, digest = signing.decoded_query(query), headers["x-acs-content-sha256"]
        signature = signing.sign_control(
            "local-secret", request.method, path, pairs, headers, given.signed_headers, digest
        )
    return signature == given.signature


@both_modes
def test_control_requests(mode: str) -> None:
    service = Service()
    settings = service.config(headers={"X-Foo": "bar"}, token="tok")
    drive(mode, Things(settings).call(CREATE, body=Thing(thing_name="ü"), headers={"X-Extra": "1"}))
    request = service.asked[0]
    assert verified(request)
    assert request.content == '{"thingName":"ü"}'.encode()
    assert request.headers["x-acs-action"] == "CreateThing"
    assert request.headers["x-acs-version"] == "2025-09-10"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.headers["x-extra"] == "1"
    assert "x-foo" not in request.headers, "headers of the Config belong to the data plane"
    assert "tok" not in str(request.headers)


@both_modes
def test_temporary_keys_sign_their_token(mode: str) -> None:
    service = Service()
    settings = service.config(security_token="TOKEN")
    drive(mode, Things(settings).call(GET, "x"))
    drive(mode, Running("x").call("GET", config=settings))
    for request in service.asked:
        assert verified(request)
        assert request.headers["x-acs-security-token"] == "TOKEN"
    assert "x-acs-security-token" in service.asked[0].headers["authorization"]
    assert "x-acs-security-token" in service.asked[1].headers[signing.DATA_HEADER]
    assert service.asked[0].headers["x-acs-accesskey-id"] == "local"


@both_modes
def test_data_requests(mode: str) -> None:
    service = Service()
    api = Running("sandboxes", "01SB", config=service.config())
    drive(mode, api.call("POST", "/contexts", body={"language": "python"}))
    request = service.asked[0]
    assert verified(request)
    assert str(request.url) == "http://127.0.0.1:4590/sandboxes/01SB/contexts"
    assert json.loads(request.content) == {"language": "python"}
    assert request.headers["content-type"] == "application/json"


@both_modes
def test_headers_of_a_call_win_over_those_of_the_config_over_the_rest(mode: str) -> None:
    service = Service()
    settings = service.config(headers={"X-Session": "config", "X-Other": "config", "User-Agent": "config"})
    drive(mode, Running("x").call("GET", config=settings, headers={"x-session": "call"}))
    headers = service.asked[0].headers
    assert headers.get_list("x-session") == ["call"]
    assert (headers["x-other"], headers.get_list("user-agent")) == ("config", ["config"])


@both_modes
def test_without_a_key_only_headers_go_out(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTRUN_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    service = Service()
    settings = Config(data_endpoint="http://127.0.0.1:1", headers={"X-API-Key": "k"}, transport=service)
    drive(mode, Running("x", config=settings).call("GET"))
    assert service.asked[0].headers["x-api-key"] == "k"
    assert "x-acs-date" not in service.asked[0].headers


def test_the_config_of_a_call_overlays_that_of_the_api() -> None:
    first, second = Service(), Service()
    api = Things(first.config())
    drive("sync", api.call(GET, "x", config=Config(transport=second, region_id="r")))
    assert (len(first.asked), len(second.asked)) == (0, 1)


def test_data_headers_name_what_they_sign() -> None:
    headers = data_headers("GET", "http://user:pw@host:80/p?q=1", Credentials("AK", "SK"), "cn-x")
    assert headers["host"] == "host:80"
    assert "/cn-x/agentrun/" in headers["agentrun-authorization"]


def test_bodies_that_cannot_be_sent() -> None:
    with pytest.raises(InvalidInputError, match="cannot be sent as JSON"):
        drive("sync", Running("x").call("POST", body={"a": object()}, config=Service().config()))


# Answers of the control plane

REFUSALS: list[tuple[int, Any, type[AgentRunError], str]] = [
    (200, {"code": "ERR_X", "message": "no", "requestId": "R"}, ServerError, "no"),
    (200, {"code": "ERR_X", "message": "Thing already exists"}, ResourceAlreadyExistError, "Thing 'x' already exists"),
    (200, {"code": "SUCCESS"}, InvalidResponseError, "without data"),
    (200, {"code": "SUCCESS", "data": None}, InvalidResponseError, "without data"),
    (200, {"code": "SUCCESS", "data": []}, InvalidResponseError, "without data"),
    (200, {"data": {}}, ServerError, "without success"),
    (200, b"<html>Welcome to the hotel</html>", InvalidResponseError, "not JSON"),
    (200, b'{"code": "SUC', InvalidResponseError, "not JSON"),
    (200, b"[]", InvalidResponseError, "not JSON"),
    (204, b"", ServerError, "status 204"),
    (302, b"", ServerError, "status 302"),
    (400, {"code": "ERR_BAD", "message": "bad name", "requestId": "R"}, ClientError, "bad name"),
    (400, {"error": {"code": "ERR_BAD", "message": "bad name"}}, ClientError, "bad name"),
    (400, {"error": "bad name"}, ClientError, "bad name"),
    (400, {"detail": "bad name"}, ClientError, "bad name"),
    (400, {"Code": "ERR_BAD", "Message": "bad name", "RequestId": "R"}, ClientError, "bad name"),
    (400, b"bad name", ClientError, "bad name"),
    (401, {"code": "InvalidKey", "message": "who?"}, AuthenticationError, "who?"),
    (404, {"code": "ERR_NOT_FOUND", "message": "thing not found"}, ResourceNotExistError, "Thing 'x' does not exist"),
    (404, b"", ClientError, "status 404"),
    (409, {"message": "Thing already exists"}, ResourceAlreadyExistError, "Thing 'x' already exists"),
    (429, {"message": "slow down"}, RateLimitError, "slow down"),
    (500, {"message": "boom"}, ServerError, "boom"),
    (501, {"message": "not here"}, UnsupportedError, "not here"),
    (502, b"<html><h1>Bad gateway</h1></html>", ServerError, "status 502"),
    (500, {"message": {"not": "text"}}, ServerError, "status 500"),
    (500, [1], ServerError, "status 500"),
    (500, b"\xff\xfe", ServerError, "500"),
]


@both_modes
@pytest.mark.parametrize(("status", "body", "kind", "text"), REFUSALS)
def test_refusals(mode: str, status: int, body: Any, kind: type[AgentRunError], text: str) -> None:
    with pytest.raises(AgentRunError) as caught:
        drive(mode, Things(Service(status, body).config()).call(GET, "x"))
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert len(str(caught.value)) < 500


@both_modes
@pytest.mark.parametrize(("status", "body"), [refusal[:2] for refusal in REFUSALS if refusal[0] >= 400])
def test_the_data_plane_raises_every_error_status(mode: str, status: int, body: Any) -> None:
    api = Running("x", config=Service(status, body).config())
    for call in (api.call, api.enveloped, api.open):
        with pytest.raises(HTTPError) as caught:
            drive(mode, call("POST"))
        assert caught.value.status_code == status


@pytest.mark.parametrize("body", [{"code": "ERR_X", "message": "m"}, {"error": {"code": "ERR_X", "message": "m"}}])
def test_what_an_error_carries(body: Any) -> None:
    headers = {"x-acs-request-id": "R-1", "retry-after": "7"}
    with pytest.raises(RateLimitError) as caught:
        drive("sync", Things(Service(429, body, headers).config()).call(GET, "x"))
    error = caught.value
    assert (error.status_code, error.error_code, error.request_id, error.retry_after) == (429, "ERR_X", "R-1", 7)
    assert (error.executed, error.response_body) == (Executed.NO, body)
    assert error.response_headers["x-acs-request-id"] == "R-1"


def test_codes_are_text() -> None:
    with pytest.raises(ClientError) as caught:
        drive("sync", Things(Service(400, {"code": 1234, "message": "m"}).config()).call(GET, "x"))
    assert caught.value.error_code == "1234"


@pytest.mark.parametrize("name", ["x-acs-request-id", "X-AgentRun-Request-Id", "x-request-id", "X-Fc-Request-Id"])
def test_the_request_id_in_headers(name: str) -> None:
    with pytest.raises(ServerError) as caught:
        drive("sync", Things(Service(500, b"", {name: "R-2"}).config()).call(GET, "x"))
    assert caught.value.request_id == "R-2"


def test_the_request_id_in_the_body_comes_first() -> None:
    with pytest.raises(ServerError) as caught:
        drive("sync", Things(Service(500, {"requestId": "B"}, {"x-request-id": "H"}).config()).call(GET, "x"))
    assert caught.value.request_id == "B"


def test_resource_errors_name_what_was_asked_for() -> None:
    missing = Service(404, {"message": "does not exist", "requestId": "R"}).config()
    with pytest.raises(ResourceNotExistError, match="Thing 'given'") as caught:
        drive("sync", Things(missing).call(GET, "x", label="given"))
    assert (caught.value.request_id, caught.value.status_code) == ("R", 404)
    assert isinstance(caught.value.__cause__, HTTPError)
    with pytest.raises(ResourceNotExistError, match="Part 'p'"):
        drive("sync", Things(missing).call(GET_PART, "x", "p", kind="Part"))


# Answers of the data plane


@both_modes
@pytest.mark.parametrize(("body", "value"), [(b"", {}), (b"[1]", [1]), (b"text", "text"), (b'{"a":null}', {"a": None})])
def test_bare_answers(mode: str, body: bytes, value: Any) -> None:
    assert drive(mode, Running("x", config=Service(200, body).config()).call("GET")) == value


@both_modes
def test_enveloped_answers(mode: str) -> None:
    service = Service(200, {"code": "SUCCESS", "data": {"sandboxId": "01"}})
    assert drive(mode, Running("x", config=service.config()).enveloped("GET")) == {"sandboxId": "01"}


@both_modes
def test_streamed_answers(mode: str) -> None:
    async def read() -> bytes:
        return await (await Running("x", config=Service(200, b"abc").config()).open("GET")).read()

    assert drive(mode, read()) == b"abc"
