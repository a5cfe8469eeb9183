"""Whether model calls are recorded or replayed, and the count of all of them; what does the work loads when used."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agentrun._serving.asgi import Message, Receive, Scope, Send
from agentrun._serving.openai_error import ApiError
from agentrun.gateway.outlet import Outlet
from agentrun.gateway.recording.receipt import Ledger, Receipt, Source, model_of

if TYPE_CHECKING:
    from agentrun.emulator.recorded import RecordedModels
    from agentrun.gateway.routing.upstreams import Upstreams

RECORDED_PREFIX = "/recorded/"


@dataclass(frozen=True)
class RecordTo:
    """Send model calls to a provider and keep them in a file.

    Without `models` every model may be asked. `redact` are types of data to remove beside secrets: email and phone.
    A file that exists is refused unless it shall be overwritten.
    """

    file: Path | str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    overwrite: bool = False


@dataclass(frozen=True)
class ReplayFrom:
    """Answer model calls from a file; `speed` is `at-once` or `original`.

    A request that was recorded a number of times gets its last answer from then on, or an error with `repeat=False`.
    """

    file: Path | str
    speed: str = "at-once"
    repeat: bool = True


Chosen: TypeAlias = RecordTo | ReplayFrom | None


class Recordings:
    """The recording of an emulator, which may change while it runs; each has a count of its own.

    `known` tells the secrets that the platform keeps. `key` is what callers show while calls go to a provider: nobody
    else on this machine shall spend its money.
    """

    def __init__(self, chosen: Chosen, known: Callable[[], Iterable[str]]) -> None:
        """Begin; raises RecordingError."""
        self.key = f"sk-agentrun-{secrets.token_hex(16)}"
        self._known = known
        self._begin(chosen)

    def _begin(self, chosen: Chosen) -> None:
        self.chosen: Chosen = None
        self.models: RecordedModels | None = None
        self.ledger = Ledger()
        if chosen is not None:
            from agentrun.emulator.recorded import RecordedModels  # with the gateway, which most runs do not need

            self.models = RecordedModels(chosen, self.ledger, self.key, self._known)
        self.chosen = chosen

    async def use(self, chosen: Chosen) -> None:
        """End this recording and begin another, or none; raises RecordingError."""
        await self.close()
        self._begin(chosen)

    async def close(self) -> None:
        """End the recording; what has not been answered to its end is not kept."""
        if self.models:
            await self.models.close()

    def through(self) -> tuple[Upstreams | None, Ledger]:
        """What asks providers while there is a recording, and what counts."""
        return self.models.upstreams if self.models else None, self.ledger

    def receipt(self) -> Receipt:
        """What has been called so far."""
        about: dict[str, Any] | None = self.models.describe() if self.models else None
        return self.ledger.receipt(about)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer a request for a recorded model; returns the status."""
        if self.models:
            return await self.models.serve(scope, receive, send)
        text = "This emulator has no recording: start it with --replay FILE, or with `agentrun emulator record`."
        await Outlet(send).fail(ApiError(404, text, "no_recording"))
        return 404

    def counting(self, receive: Receive) -> Receive:
        """A way to receive the body of a call of the scripted model, that counts it."""
        parts: list[bytes] = []

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self.ledger.count(model_of(b"".join(parts)), Source.SCRIPTED)
            return message

        return counted
