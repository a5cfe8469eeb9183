"""JSON-RPC as this protocol uses it: a request, its result, and errors with the protocol's own numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from agentrun._core.values import is_list, is_object

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TASK_NOT_FOUND = -32001
TASK_NOT_CANCELABLE = -32002
PUSH_NOT_SUPPORTED = -32003
UNSUPPORTED_OPERATION = -32004
NO_EXTENDED_CARD = -32007
VERSION_NOT_SUPPORTED = -32009

_REASONS = {
    PARSE_ERROR: "PARSE_ERROR",
    INVALID_REQUEST: "INVALID_REQUEST",
    METHOD_NOT_FOUND: "METHOD_NOT_FOUND",
    INVALID_PARAMS: "INVALID_PARAMS",
    INTERNAL_ERROR: "INTERNAL_ERROR",
    TASK_NOT_FOUND: "TASK_NOT_FOUND",
    TASK_NOT_CANCELABLE: "TASK_NOT_CANCELABLE",
    PUSH_NOT_SUPPORTED: "PUSH_NOTIFICATION_NOT_SUPPORTED",
    UNSUPPORTED_OPERATION: "UNSUPPORTED_OPERATION",
    NO_EXTENDED_CARD: "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    VERSION_NOT_SUPPORTED: "VERSION_NOT_SUPPORTED",
}


class RpcError(Exception):
    """What a request is answered with when it cannot be done."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def details(self) -> list[dict[str, Any]]:
        """What programs read of it, in the words of 1.0."""
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        return [{"@type": kind, "reason": _REASONS[self.code], "domain": "a2a-protocol.org", "metadata": {}}]


class Call(NamedTuple):
    """What a client asks for."""

    method: str
    params: dict[str, Any]


def document_of(body: bytes) -> Any:
    """The JSON of a request; raises RpcError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"The body is not JSON: {error}") from error


def id_of(document: Any) -> str | int | None:
    """The id under which the answer is awaited; None where it has none that is valid."""
    found = document.get("id") if is_object(document) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def call_of(document: Any) -> Call:
    """The method and its parameters; raises RpcError."""
    if is_list(document):
        raise RpcError(INVALID_REQUEST, "Several requests in one are not supported: send one at a time")
    if not is_object(document) or document.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'A request is an object with "jsonrpc": "2.0"')
    if id_of(document) is None:
        raise RpcError(INVALID_REQUEST, "A request has an id, a text or a whole number")
    method, params = document.get("method"), document.get("params", {})
    if not isinstance(method, str) or not method:
        raise RpcError(INVALID_REQUEST, "A request has a method, which is a text")
    if not is_object(params):
        raise RpcError(INVALID_PARAMS, f"params is a {type(params).__name__}, not an object")
    return Call(method, params)


def answer(call_id: str | int | None, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with its `result` or its `error`."""
    return {"jsonrpc": "2.0", "id": call_id, **outcome}
