"""What a call of an operation gave: the official client's mapping, with its parts as attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentrun._core.api import error_of
from agentrun._core.session import Reply
from agentrun.toolset.openapi import media

if TYPE_CHECKING:
    from typing_extensions import Self


class OpenAPIResult(dict[str, Any]):
    """An answer: `status_code`, `headers`, `body` by its content type, `raw_body` as text, `url` and `method`.

    `body` is the value of JSON, text, or bytes where it is neither; then `raw_body` is the same bytes. An error status
    is an answer like any other; `raise_for_status` makes an error of it. `url` does not show credentials.
    """

    @classmethod
    def of(cls, reply: Reply, method: str, url: str) -> Self:
        """The result out of an answer."""
        body, text = _read(reply.content, reply.headers.get("content-type", ""))
        return cls(
            status_code=reply.status,
            headers=dict(reply.headers),
            body=body,
            raw_body=text,
            url=url,
            method=method,
        )

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return int(self["status_code"])

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; their names are lower-case."""
        headers: Mapping[str, str] = self["headers"]
        return headers

    @property
    def body(self) -> Any:
        """The body: the value of JSON, text, or bytes; None when it is empty."""
        return self["body"]

    @property
    def raw_body(self) -> str | bytes:
        """The body as text, or as bytes where it is no text."""
        raw: str | bytes = self["raw_body"]
        return raw

    @property
    def is_error(self) -> bool:
        """Whether the status is 400 or more."""
        return self.status_code >= 400

    def raise_for_status(self) -> Self:
        """This result; raises the HTTPError that a status of 400 or more means."""
        if not self.is_error:
            return self
        raw = self.raw_body
        raise error_of(self.status_code, self.headers, raw.encode() if isinstance(raw, str) else raw)


def _read(content: bytes, content_type: str) -> tuple[Any, str | bytes]:
    """The body of an answer by its type, and as text."""
    if not content:
        return None, ""
    if content_type and media.is_binary(content_type):
        return content, content
    text = _text(content, content_type)
    if text is None:
        return content, content
    if not content_type or media.is_json(content_type):
        try:
            return json.loads(text), text
        except (ValueError, RecursionError):
            return text, text
    return text, text


def _text(content: bytes, content_type: str) -> str | None:
    """The content as text, None when it is none."""
    charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip(' "') or "utf-8"
    try:
        return content.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return None
