"""Errors as clients of the OpenAI protocol read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

# The openai client would try a 500 or 501 again twice, with pauses; these errors are the same every time.
DO_NOT_RETRY: Mapping[str, str] = {"x-should-retry": "false"}


class ErrorFields(TypedDict):
    """What a client reads of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """The body of an error."""

    error: ErrorFields


@dataclass(eq=False)  # compared by identity, as exceptions are, so that it stays hashable
class ApiError(Exception):
    """An error to answer with; `param` is the path of the field at fault, as in `messages[0].role`.

    `raw_body` is sent instead of one made of the rest, where the error is somebody else's.
    """

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw_body: bytes = b""

    def body(self) -> ErrorBody:
        """The JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def event(self) -> bytes:
        """The event that ends a stream which has begun."""
        return b"data: %b\n\n" % json.dumps(self.body(), ensure_ascii=False).encode()


def bad_request(message: str, code: str, param: str | None = None) -> ApiError:
    """A 400 about one field of the request."""
    return ApiError(400, message, code, param)
