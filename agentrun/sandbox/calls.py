"""How one sandbox is called: answers as they are, streams of events, websockets, and what their errors mean."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from agentrun._core.api import DataAPI, parsed, segment
from agentrun._core.extensions import Extension
from agentrun._core.session import ByteStream
from agentrun._core.streams import decode_events, finish
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    Executed,
    HTTPError,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
    ResourceNotExistError,
    SandboxTerminatedError,
    TransportError,
)

if TYPE_CHECKING:
    from agentrun._core.channel import Channel

TERMINATED = "ERR_SANDBOX_TERMINATED"
# The service answers a timeout itself, so the connection must wait a little longer than the code may run.
GRACE_SECONDS = 10
# How long a stream may be silent that tells of what happens at any time; sockets know no infinity.
SILENCE_SECONDS = 24 * 3600.0
_OVER = ("TERMINATED", "TERMINATING", "DELETING", "FAILED", "DELETED")


class SandboxCalls(DataAPI):
    """Calls to one sandbox; raises ResourceNotExistError when it is not there, SandboxTerminatedError when it ended.

    With an `extension`, a platform that does not have it gives UnsupportedError.
    """

    kind = "Sandbox"

    def __init__(self, sandbox_id: str | None, config: Config | None = None) -> None:
        super().__init__("sandboxes", config=config)
        self.sandbox_id = sandbox_id

    def inside(self, path: str) -> str:
        """A path below this sandbox."""
        if not self.sandbox_id:
            raise InvalidInputError("this needs one sandbox", field="sandbox_id")
        return f"/{segment(self.sandbox_id)}{path}"

    def require_local(self, extension: Extension) -> None:
        """Raise UnsupportedError when the data endpoint is not on this machine."""
        extension.require(self._config(None).get_data_endpoint())

    async def ask(
        self, method: str, path: str, *, extension: Extension | None = None, **options: Any
    ) -> dict[str, Any]:
        """The fields of an answer."""
        return checked_fields(await self.ask_any(method, path, extension=extension, **options))

    async def ask_list(
        self, method: str, path: str, *, extension: Extension | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """The items of an answer that is a list."""
        answer = await self.ask_any(method, path, extension=extension, **options)
        if not isinstance(answer, list):
            raise InvalidResponseError(f"the sandbox's answer is not a list: {answer!r:.200}")
        return list(map(checked_fields, cast("Iterable[Any]", answer)))

    async def ask_any(self, method: str, path: str, *, extension: Extension | None = None, **options: Any) -> Any:
        """An answer of any shape."""
        try:
            return await self._call(method, self.inside(path), **options)
        except HTTPError as error:
            raise self.problem(error, extension) from error

    async def manage(self, method: str, path: str, *, extension: Extension, **options: Any) -> dict[str, Any]:
        """The data of an answer about the sandbox itself, which comes in an envelope."""
        answer = await self.ask(method, path, extension=extension, **options)
        return checked_fields(answer.get("data")) if answer.get("code") == "SUCCESS" else answer

    async def open(self, method: str, path: str, *, extension: Extension | None = None, **options: Any) -> ByteStream:
        """The body of an answer as it arrives."""
        try:
            return await self._open(method, self.inside(path), **options)
        except HTTPError as error:
            raise self.problem(error, extension) from error

    async def connect(self, path: str, query: Mapping[str, Any], *, extension: Extension) -> Channel:
        """A websocket to the sandbox."""
        from agentrun._core.channel import Handshake  # websockets loads with the first channel

        handshake = Handshake()
        return await handshake.finish(
            await self.open("GET", path, query=query, headers=handshake.headers, extension=extension)
        )

    async def entries(
        self, body: ByteStream, is_last: Callable[[dict[str, Any]], bool], *, may_end: bool = False
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a body up to the last one; raises SandboxTerminatedError when the sandbox ends before.

        With `may_end` the body may be over without a last event.
        """
        try:
            async with aclosing(decode_events(body)) as events:
                async for event in events:
                    entry = _checked_entry(event.data)
                    yield entry
                    if is_last(entry):
                        await finish(events)
                        return
        except RequestTimeoutError:
            raise
        except TransportError as error:
            raise await self.cause(error) from error
        if not may_end:
            raise await self.cause(TransportError("the sandbox's answer ended before its last event"))

    def problem(self, error: HTTPError, extension: Extension | None = None) -> AgentRunError:
        """What an error of the service means for this sandbox."""
        if error.status_code == 410:
            return terminated(error)
        # A file, a context or a process that is missing is 404 as well; only one answer names the sandbox.
        named = "sandbox" in error.message.lower() and (self.sandbox_id or "") in error.message
        if error.status_code == 404 and named:
            return ResourceNotExistError(self.kind, self.sandbox_id, source=error)
        return extension.unsupported(error) if extension and extension.is_unknown_to(error) else error

    async def cause(self, error: TransportError) -> AgentRunError:
        """Why an answer broke off: SandboxTerminatedError when the sandbox is over, else the error itself."""
        try:
            record = await self._call_enveloped("GET", self.inside(""))
        except HTTPError as problem:
            if problem.status_code in (404, 410):
                return SandboxTerminatedError(f"sandbox {self.sandbox_id} is gone", reason="it was deleted")
            return error
        status = str(record.get("status") or "")
        if status not in _OVER and record.get("health") != "dead":
            return error
        reason = str(record.get("endReason") or record.get("statusReason") or "no reason is known")
        return SandboxTerminatedError(f"sandbox {self.sandbox_id} is {status}: {reason}", reason=reason)


def terminated(error: HTTPError) -> SandboxTerminatedError:
    """The error for an answer with status 410."""
    body: Any = error.response_body
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    said = str(fields.get("executed"))
    executed = Executed(said) if said in {each.value for each in Executed} else error.executed
    reason = fields.get("reason")
    return SandboxTerminatedError(
        error.message, reason=str(reason) if reason else None, executed=executed, source=error
    )


def checked_fields(answer: Any) -> dict[str, Any]:
    """An answer that must be an object; raises InvalidResponseError."""
    if not isinstance(answer, dict):
        raise InvalidResponseError(f"the sandbox's answer is not a JSON object: {answer!r:.200}")
    return cast("dict[str, Any]", answer)


def _checked_entry(data: str) -> dict[str, Any]:
    try:
        entry = checked_fields(json.loads(data))
    except ValueError as error:
        raise InvalidResponseError(f"the sandbox sent an event that is not JSON: {data:.200}") from error
    if entry.get("code") == TERMINATED:
        executed = Executed.UNKNOWN if entry.get("executed") != "no" else Executed.NO
        reason = str(entry.get("reason") or entry.get("message") or "no reason is known")
        raise SandboxTerminatedError(str(entry.get("message") or reason), reason=reason, executed=executed)
    return entry


async def whole(body: ByteStream) -> Any:
    """A body that turned out to be no stream."""
    return parsed(await body.read())


def is_event_stream(body: ByteStream) -> bool:
    """Whether the server streams events; one that does not know how answers with a whole JSON body."""
    return body.headers.get("content-type", "").startswith("text/event-stream")


def wait_of(timeout: float | None) -> float | None:
    """How long the connection waits for something that may take `timeout` seconds."""
    return None if timeout is None else timeout + GRACE_SECONDS
