"""The errors of the model endpoint, in the shape of the OpenAI API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from agentrun.emulator.scripted.reply import ReplyError

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
    """An error to answer with; `param` is the path of the field at fault, as in `messages[0].role`."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def body(self) -> ErrorBody:
        """The JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def bad_request(message: str, code: str, param: str | None = None) -> ApiError:
    """A 400 about one field of the request."""
    return ApiError(400, message, code, param)


def as_api_error(error: ReplyError) -> ApiError:
    """The error that a reply is."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        # The standard header knows whole seconds only; the openai client prefers the one in milliseconds.
        headers = {"retry-after": str(ceil(error.retry_after)), "retry-after-ms": str(round(error.retry_after * 1000))}
    return ApiError(error.status, error.message, error.code, error.param, error.type, headers)
