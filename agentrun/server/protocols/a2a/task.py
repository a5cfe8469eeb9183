"""A task: what a client asked for, what the agent says to it, and how it goes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from agentrun.server.protocols.a2a.growing import Growing
from agentrun.server.protocols.a2a.listener import Listener
from agentrun.server.protocols.a2a.rpc import TASK_NOT_CANCELABLE, UNSUPPORTED_OPERATION, RpcError
from agentrun.server.protocols.a2a.states import AT_REST, CANCELED, ENDED, INPUT_REQUIRED, SUBMITTED

Json = dict[str, Any]


class Task:
    """One task, which tells those who listen what happens to it.

    It is stopped when nobody has listened to it or asked for it for `keep_running_seconds`, unless `goes_on_alone`.
    """

    def __init__(self, context_id: str, owner: str | None, keep_running_seconds: float) -> None:
        self.id = str(uuid.uuid4())
        self.context_id = context_id
        self.owner = owner
        self.goes_on_alone = False
        self.history: list[Json | Growing] = []
        self.artifacts: list[Growing] = []
        self.metadata: Json = {}
        self._keep_running_seconds = keep_running_seconds
        self._status: Json = {}
        self._listeners: set[Listener] = set()
        self._worker: asyncio.Task[None] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._at_rest = asyncio.Event()
        self._set_status(SUBMITTED, None)

    # How it goes

    @property
    def state(self) -> str:
        """Its state, by the name in 1.0."""
        return str(self._status["state"])

    @property
    def timestamp(self) -> str:
        """When the state changed."""
        return str(self._status["timestamp"])

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.state in ENDED

    @property
    def is_running(self) -> bool:
        """Whether an agent works on it, or is about to."""
        return self.state not in AT_REST

    def is_before(self, other: Task) -> bool:
        """Whether it belongs to what was said before another task, by the same client."""
        return self is not other and (self.context_id, self.owner) == (other.context_id, other.owner)

    def ask(self, message: Json) -> None:
        """Take a message of the client, to which the agent is to answer."""
        self.history.append({**message, "taskId": self.id, "contextId": self.context_id})
        self._at_rest.clear()
        self._set_status(SUBMITTED, None)

    def check_is_waiting(self) -> None:
        """Raise RpcError when it does not wait for a message."""
        if self.state != INPUT_REQUIRED:
            hint = "Send the message without a taskId, with the same contextId" if self.has_ended else "Wait for it"
            raise RpcError(UNSUPPORTED_OPERATION, f"Task {self.id} is {self.state} and takes no messages. {hint}")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let this be done, whether or not somebody listens."""
        self._worker = asyncio.create_task(work)

    def set_state(self, state: str, message: Json | None = None, metadata: Json | None = None) -> None:
        """Go over to another state, which is the last one where it has ended."""
        if self.has_ended:
            return
        self._set_status(state, message)
        more = {"metadata": metadata} if metadata else {}
        self.tell({"statusUpdate": {**self.ids(), "status": self._status, **more}})
        if state in AT_REST:
            self._rest()

    def cancel(self, why: str = "The task was canceled") -> None:
        """Stop it, if it is not over; raises RpcError."""
        if self.has_ended:
            raise RpcError(TASK_NOT_CANCELABLE, f"Task {self.id} is {self.state}, and cannot be canceled any more")
        self.set_state(CANCELED, self.message({"text": why}))
        if self._worker is not None:
            self._worker.cancel()

    async def rest(self) -> None:
        """Wait until it has ended, or waits for a message."""
        await self._at_rest.wait()

    async def gone(self) -> None:
        """Wait until nothing of it runs."""
        if self._worker is not None:
            await asyncio.wait({self._worker})

    def _set_status(self, state: str, message: Json | None) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._status = {"state": state, **({"message": message} if message else {}), "timestamp": now}

    def _rest(self) -> None:
        self._stop_clock()
        self._at_rest.set()
        for listener in self._listeners:
            listener.end()

    # What is told of it

    def ids(self) -> Json:
        """Its name and that of its conversation."""
        return {"taskId": self.id, "contextId": self.context_id}

    def message(self, part: Json, metadata: Json | None = None) -> Json:
        """A message of the agent."""
        more = {"metadata": metadata} if metadata else {}
        return {"messageId": str(uuid.uuid4()), **self.ids(), "role": "ROLE_AGENT", "parts": [part], **more}

    def snapshot(self, history_length: int | None = None, *, with_artifacts: bool = True) -> Json:
        """All of it as it is now, with the last `history_length` messages."""
        told: Json = {"id": self.id, "contextId": self.context_id, "status": self._status}
        history = self.history if history_length is None else self.history[len(self.history) - history_length :]
        if history and history_length != 0:
            told["history"] = [as_json(message) for message in history]
        if with_artifacts and self.artifacts:
            told["artifacts"] = [artifact.as_json() for artifact in self.artifacts]
        return {**told, "metadata": self.metadata} if self.metadata else told

    def tell(self, update: Json) -> None:
        """Say to all who listen that this has happened."""
        for listener in self._listeners:
            listener.offer(update)

    async def room(self) -> None:
        """Wait for the slowest of those who listen."""
        for listener in list(self._listeners):
            await listener.room()

    @contextmanager
    def listening(self) -> Generator[Listener, None, None]:
        """What happens to it within the block."""
        listener = Listener()
        self._listeners.add(listener)
        self._stop_clock()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.end()
            self.touch()

    def touch(self) -> None:
        """Somebody is interested in it: if nobody listens, the time until it is stopped begins anew."""
        self._stop_clock()
        if self.is_running and not self._listeners and not self.goes_on_alone:
            loop = asyncio.get_running_loop()
            self._clock = loop.call_later(self._keep_running_seconds, self.cancel, "Nobody listened to the task")

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def as_json(message: Json | Growing) -> Json:
    """A message, whole or growing."""
    return message.as_json() if isinstance(message, Growing) else message
