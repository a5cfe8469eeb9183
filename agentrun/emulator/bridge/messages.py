"""JSON-RPC messages as they travel: read as far as it takes to pass them on, and otherwise left as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeGuard

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
SERVER_ENDED = -32000


class MessageError(Exception):
    """Bytes that are no JSON-RPC message; the text says why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Message:
    """One message on one line, and the parts of it that say where it belongs.

    `method` is empty for a response, `id` None for a notification. Ids are kept as JSON, in which 1 is not "1".
    """

    line: bytes
    method: str
    id: str | None
    fields: dict[str, Any]

    @property
    def is_request(self) -> bool:
        """Whether somebody waits for an answer to it."""
        return bool(self.method) and self.id is not None

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return not self.method and self.id is not None

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, empty when there are none by name."""
        found = self.fields.get("params")
        return found if is_object(found) else {}

    @property
    def progress_token(self) -> str | None:
        """The token of a progress notification, or the one that a request wants to hear of its progress by."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if is_object(meta) else self.params.get("progressToken")
        return None if token is None else json.dumps(token)


def read(content: bytes) -> Message:
    """The message that bytes hold. Raises MessageError."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MessageError(PARSE_ERROR, f"the message is not JSON: {error}") from error
    if isinstance(fields, list):
        raise MessageError(INVALID_REQUEST, "batches are not part of MCP any more: send one message at a time")
    if not is_object(fields) or fields.get("jsonrpc") != "2.0":
        raise MessageError(INVALID_REQUEST, 'a message is an object with "jsonrpc": "2.0"')
    method, id = fields.get("method", ""), fields.get("id")
    if not isinstance(method, str) or not isinstance(id, (str, int, float, type(None))) or isinstance(id, bool):
        raise MessageError(INVALID_REQUEST, "method must be a string, and id a string or a number")
    if not method and id is None and "error" not in fields:
        raise MessageError(INVALID_REQUEST, "a message has a method, or the id of what it answers")
    # A line break outside of strings means nothing, and inside of them JSON has none.
    line = content.replace(b"\r", b" ").replace(b"\n", b" ").strip()
    return Message(line, method, None if id is None else json.dumps(id), fields)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value of JSON is an object."""
    return isinstance(value, dict)


def dump(value: Any) -> bytes:
    """Compact JSON on one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def response(id: str | None, result: Any) -> bytes:
    """The answer to a request."""
    return dump({"jsonrpc": "2.0", "id": json.loads(id or "null"), "result": result})


def failure(id: str | None, code: int, text: str) -> bytes:
    """The answer to a request that failed."""
    return dump({"jsonrpc": "2.0", "id": json.loads(id or "null"), "error": {"code": code, "message": text}})
