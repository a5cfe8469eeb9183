"""A call as it came in: read once, and changed as little as an endpoint needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun._serving.openai_error import bad_request
from agentrun.gateway.streaming.usage import estimate_tokens

SESSION_HEADER = "x-agentrun-session-id"
# What a gateway answers by asking a model, by the end of its path.
OPERATIONS = frozenset(("chat/completions", "completions", "responses", "embeddings", "rerank", "moderations"))
# Fields that hold what was written for the model, in any of the protocols.
_PROMPT_FIELDS = ("messages", "input", "prompt", "instructions", "query", "documents", "tools")
# Those whose streams tell their usage only when asked to; others would refuse to be asked.
_WITH_STREAM_OPTIONS = frozenset(("chat/completions", "completions"))
_OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True)
class Caller:
    """Who calls: the name of the API key, never the key itself, and whose it is."""

    key: str = ""
    tenant: str = ""


@dataclass
class Call:
    """One request to a model; `operation` is the end of its path, such as `chat/completions`."""

    operation: str
    body: bytes
    fields: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    caller: Caller = Caller()

    @classmethod
    def read(cls, operation: str, body: bytes, headers: Mapping[str, str], caller: Caller) -> Call:
        """Read a request; raises ApiError (400) that names what is wrong."""
        try:
            fields: Any = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The request body is not valid JSON: {error}.", "invalid_json") from error
        if not is_object(fields):
            raise bad_request("The request body must be a JSON object.", "invalid_json")
        call = cls(operation, body, fields, headers, caller)
        if not isinstance(call.fields.get("model", ""), str):
            raise bad_request("model must be a string.", "invalid_type", "model")
        if not isinstance(call.fields.get("stream") or False, bool):
            raise bad_request("stream must be a boolean.", "invalid_type", "stream")
        if not is_object(call.fields.get("stream_options") or {}):
            raise bad_request("stream_options must be an object.", "invalid_type", "stream_options")
        return call

    @property
    def model(self) -> str:
        """The model that is asked for, empty when none is named."""
        return str(self.fields.get("model") or "")

    @property
    def stream(self) -> bool:
        """Whether the answer shall come in events."""
        return bool(self.fields.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether the caller itself asked for the usage of a stream."""
        options = self.fields.get("stream_options")
        return is_object(options) and bool(options.get("include_usage"))

    @property
    def session(self) -> str:
        """What calls of one conversation have in common, empty when nobody said."""
        return self.headers.get(SESSION_HEADER) or str(self.fields.get("user") or "")

    @cached_property
    def estimated_tokens(self) -> int:
        """About how many tokens the prompt has and the answer may have."""
        most = next((value for name in _OUTPUT_FIELDS if isinstance(value := self.fields.get(name), int)), 0)
        return estimate_tokens(len(self.body)) + max(0, most)

    def texts(self) -> Iterator[str]:
        """Everything in the request that was written for the model."""
        for name in _PROMPT_FIELDS:
            yield from strings(self.fields.get(name))

    def body_for(self, model: str, *, with_usage: bool = False) -> bytes:
        """The body for an endpoint: the very bytes that came, unless the model or the options of streams differ."""
        if model == self.fields.get("model"):
            model = ""
        with_usage = with_usage and self.stream and not self.wants_usage and self.operation in _WITH_STREAM_OPTIONS
        if not model and not with_usage:
            return self.body
        fields = dict(self.fields)
        if model:
            fields["model"] = model
        if with_usage:
            fields["stream_options"] = {**(self.fields.get("stream_options") or {}), "include_usage": True}
        try:
            return dump(fields)
        except RecursionError as error:
            raise bad_request("The request body is nested too deeply.", "invalid_json") from error


def strings(value: Any) -> Iterator[str]:
    """Every string in a value, however deep."""
    waiting = [value]  # A stack of its own: what may be nested how deeply is not for the caller to say.
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            yield entry
        elif is_object(entry):
            waiting.extend(reversed(entry.values()))
        elif is_list(entry):
            waiting.extend(reversed(entry))


def dump(value: Any) -> bytes:
    """A value as compact JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # Half a pair of surrogates exists only as an escape.
        return json.dumps(value, separators=(",", ":")).encode()
