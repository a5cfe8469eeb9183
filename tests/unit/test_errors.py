"""The exception tree: as drawn, with what helps to act, and as readable as promised."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from agentrun import errors
from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    BrowserToolError,
    ClientError,
    ConfigError,
    ConnectError,
    DeleteResourceError,
    Executed,
    HTTPError,
    InvalidInputError,
    InvalidResponseError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    ServerError,
    TransportError,
    UnsupportedError,
    from_response,
)


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Each class in the module's drawing, with its parent and the built-in type it also is."""
    found: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:│  |   )*(?:[├└]─ )?)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 3
            also = re.search(r"\(is an? (\w+)\)", line)
            del path[depth:]
            found[match[2]] = (path[-1] if path else None, also[1] if also else None)
            path.append(match[2])
    return found


def real() -> dict[str, type[AgentRunError]]:
    kinds = dict(inspect.getmembers(errors, inspect.isclass))
    return {name: kind for name, kind in kinds.items() if issubclass(kind, AgentRunError) and name[0] != "_"}


def parent(kind: type[AgentRunError]) -> str | None:
    names = [base.__name__ for base in kind.__mro__[1:] if issubclass(base, AgentRunError)]
    return next((name for name in names if name[0] != "_"), None)


def builtin(kind: type[AgentRunError]) -> set[str]:
    own = {base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"}
    return own - {"object", "Exception", "BaseException"}


def test_the_drawing_shows_every_class_in_its_place() -> None:
    assert {name: above for name, (above, _) in drawn().items()} == {
        name: parent(kind) for name, kind in real().items()
    }


def test_the_drawing_names_the_built_in_types() -> None:
    for name, (_, also) in drawn().items():
        if also is None:
            assert builtin(real()[name]) == set()
        else:
            assert also in builtin(real()[name])


def test_there_is_something_drawn() -> None:
    assert len(drawn()) > 20
    assert drawn()["ConnectError"] == ("TransportError", None)


# Attributes


def test_the_root_has_all_attributes() -> None:
    error = AgentRunError("broken", hint="Try again", detail=1)
    assert (error.message, error.hint, error.details) == ("broken", "Try again", {"detail": 1})
    assert (error.status_code, error.error_code, error.request_id) == (None, None, None)
    assert (error.status, error.code, error.executed) == (None, None, Executed.UNKNOWN)


def test_the_official_arguments_of_an_http_error() -> None:
    error = HTTPError(404, "no such thing", "R-1", "ERR_X", {"a": 1}, {"h": "v"})
    assert (error.status_code, error.message, error.request_id, error.error_code) == (
        404,
        "no such thing",
        "R-1",
        "ERR_X",
    )
    assert (error.status, error.code) == (404, "ERR_X")
    assert (error.response_body, error.response_headers) == ({"a": 1}, {"h": "v"})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AgentRunError("broken"), "broken"),
        (AgentRunError("broken", hint="Try again"), "broken. Try again"),
        (HTTPError(404, "msg", "Y", "X"), "HTTP 404: msg. Error Code: X. Request ID: Y"),
        (HTTPError(404, "msg."), "HTTP 404: msg"),
        (HTTPError(0, "no route", hint="Check it"), "no route. Check it"),
        (ConnectError("cannot reach x"), "cannot reach x"),
        (ResourceNotExistError("Credential", "a"), "Credential 'a' does not exist"),
        (ResourceAlreadyExistError("Credential", "a"), "Credential 'a' already exists"),
        (DeleteResourceError(), "the resource could not be deleted"),
        (BrowserToolError("no page", "click"), "no page"),
        (InvalidInputError("unknown", field="a.b", hint="Did you mean c?"), "unknown. Did you mean c?"),
    ],
)
def test_how_errors_read(error: AgentRunError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("error", "executed"),
    [
        (ConnectError("x"), Executed.NO),
        (InvalidInputError("x"), Executed.NO),
        (TransportError("x"), Executed.UNKNOWN),
        (RequestTimeoutError("x"), Executed.UNKNOWN),
        (InvalidResponseError("x"), Executed.UNKNOWN),
        (from_response(400, "x"), Executed.NO),
        (from_response(429, "x"), Executed.NO),
        (from_response(500, "x"), Executed.UNKNOWN),
        (from_response(501, "x"), Executed.NO),
        (from_response(504, "x"), Executed.UNKNOWN),
        (from_response(404, "not found").to_resource_error("T", "x"), Executed.NO),
        (from_response(500, "x already exists").to_resource_error("T", "x"), Executed.UNKNOWN),
    ],
)
def test_whether_it_was_executed(error: AgentRunError, executed: Executed) -> None:
    assert error.executed is executed
    assert executed in ("yes", "no", "unknown")


EXAMPLES: list[AgentRunError] = [
    AgentRunError("a", hint="b", c=1),
    ConfigError("a", hint="b"),
    InvalidInputError("a", field="b"),
    from_response(404, "a", error_code="b", request_id="c", body={"d": 1}, headers={"e": "f"}),
    from_response(429, "a", headers={"retry-after": "3"}),
    ConnectError("a", hint="b"),
    RequestTimeoutError("a"),
    ResourceNotExistError("T", "x", source=HTTPError(404, "y", "R")),
    DeleteResourceError("a"),
    BrowserToolError("a", "click"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_copies_and_processes(error: AgentRunError) -> None:
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


# From an answer


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ClientError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, ClientError),
        (409, ClientError),
        (418, ClientError),
        (429, RateLimitError),
        (500, ServerError),
        (501, UnsupportedError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_the_kind_follows_the_status(status: int, kind: type[HTTPError]) -> None:
    error = from_response(status, "x", error_code="E", request_id="R", body="b", headers={"h": "v"})
    assert type(error) is kind
    assert (error.status_code, error.error_code, error.request_id) == (status, "E", "R")
    assert (error.response_body, error.response_headers) == ("b", {"h": "v"})


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3.0), ("0.5", 0.5), ("tomorrow", None), ("²", None), (None, None)]
)
def test_how_long_to_wait_after_too_many_requests(value: str | None, seconds: float | None) -> None:
    error = from_response(429, "x", headers={} if value is None else {"retry-after": value})
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "credential does not exist", ResourceNotExistError),
        (404, "Template Not Found", ResourceNotExistError),
        (404, "no route", ClientError),
        (400, "x does not exist", ClientError),
        (400, "name already exists", ResourceAlreadyExistError),
        (409, "Name Already Exists", ResourceAlreadyExistError),
        (500, "it already exists", ResourceAlreadyExistError),
        (403, "it already exists", PermissionDeniedError),
        (500, "does not exist", ServerError),
    ],
)
def test_when_an_answer_is_about_the_resource(status: int, message: str, kind: type[AgentRunError]) -> None:
    error = from_response(status, message, error_code="E", request_id="R").to_resource_error("Credential", "a")
    assert type(error) is kind
    assert (error.status_code, error.error_code, error.request_id) == (status, "E", "R")
    if isinstance(error, (ResourceNotExistError, ResourceAlreadyExistError)):
        assert (error.resource_type, error.resource_id) == ("Credential", "a")
