"""`/recorded/v1/...`: the models of a provider while they are recorded, and of a recording while it is replayed."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agentrun._serving.asgi import Message, Receive, Scope, Send
from agentrun._serving.upstream import Headers, Host
from agentrun.emulator.recordings import RECORDED_PREFIX, RecordTo, ReplayFrom
from agentrun.gateway.app import GatewayApp
from agentrun.gateway.call import Caller
from agentrun.gateway.gateway import Gateway
from agentrun.gateway.keys import Keys
from agentrun.gateway.plan import Plan, PlanError, Target, target
from agentrun.gateway.recording.exchange import RecordingError
from agentrun.gateway.recording.file import Recording, RecordingFile
from agentrun.gateway.recording.receipt import Ledger, Source, model_of
from agentrun.gateway.recording.recorder import Recorder
from agentrun.gateway.recording.redaction import Redactor
from agentrun.gateway.recording.replay import Replay, Speed
from agentrun.gateway.recording.secret_types import ALWAYS, SecretType
from agentrun.gateway.routing.upstreams import HTTPUpstreams, Reply, Upstreams, Wait
from agentrun.model.policies import GatewayPolicies, OutlierEjection, ProxyConfigPolicies, RetryPolicy

_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
# The gateway names who answered, in a header and in errors; a replay must not differ from what was recorded in that.
_NAME = "recorded"
# What the provider says is recorded, also its errors: whether to try again, and when, is the caller's decision.
_ONE_ATTEMPT = ProxyConfigPolicies(
    num_retries=0,
    gateway=GatewayPolicies(
        retry=RetryPolicy(longest_retry_after_seconds=0), outlier_ejection=OutlierEjection(consecutive_failures=2**31)
    ),
)


class RecordedModels:
    """Serves one recording, which is being written or read."""

    def __init__(
        self, chosen: RecordTo | ReplayFrom, ledger: Ledger, key: str, known: Callable[[], Iterable[str]]
    ) -> None:
        """Open the file; raises RecordingError."""
        self._file = Path(chosen.file)
        if isinstance(chosen, RecordTo):
            plan = _recorded_plan(chosen)
            self.upstreams: Recorder | Replay = _recorder(chosen, ledger, known)
            keys = Keys({key: Caller("recording")})
        else:
            self.upstreams = _replay(chosen, ledger, known)
            plan = _replayed_plan(self.upstreams.recording)
            keys = Keys({})
        self._gateway = Gateway(upstreams=self.upstreams)
        self._app = GatewayApp([plan], keys, self._gateway)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer a request; returns the status."""
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app({**scope, "path": scope["path"].removeprefix(RECORDED_PREFIX[:-1])}, receive, noted)
        return status

    async def close(self) -> None:
        """Close connections and the file."""
        await self._gateway.close()

    def describe(self) -> dict[str, Any]:
        """What a receipt says of the file."""
        about: dict[str, Any] = {"file": str(self._file)}
        if isinstance(self.upstreams, Recorder):
            return {**about, "written": self.upstreams.written, "lost": self.upstreams.lost}
        recording = self.upstreams.recording
        counts = {"exchanges": len(recording.exchanges), "unused": self.upstreams.unused}
        return {**about, "sha256": recording.digest, **counts}


class PlatformUpstreams:
    """Asks targets for the platform's own gateway: through the recording if there is one.

    What leads back to this emulator is asked as it is, and counted where it arrives.
    """

    def __init__(
        self,
        through: Callable[[], tuple[Upstreams | None, Ledger]],
        port: Callable[[], int],
        note: Callable[[Target], None],
    ) -> None:
        self._through = through
        self._port = port
        self._note = note
        self._plain = HTTPUpstreams()

    async def ask(self, target: Target, operation: str, headers: Headers, body: bytes, wait: Wait) -> Reply:
        """Send a request and wait for the head of its answer.

        Raises UpstreamError, and NotReached when nothing was sent.
        """
        self._note(target)
        through, ledger = self._through()
        if target.host.name in _LOOPBACK and target.host.port == self._port():
            through = self._plain
        elif through is None:
            ledger.count(model_of(body), Source.UPSTREAM)
        return await (through or self._plain).ask(target, operation, headers, body, wait)

    def close(self) -> None:
        """Close connections."""
        self._plain.close()


def _recorder(chosen: RecordTo, ledger: Ledger, known: Callable[[], Iterable[str]]) -> Recorder:
    redacted = tuple(map(_redacted_type, chosen.redact))
    file = RecordingFile(Path(chosen.file), redacted, overwrite=chosen.overwrite)
    return Recorder(HTTPUpstreams(), file, Redactor(redacted), ledger, known=known)


def _redacted_type(name: str) -> SecretType:
    optional = {each.value: each for each in SecretType if each not in ALWAYS}
    if name not in optional:
        raise RecordingError(f"there is no type {name!r} to remove: choose of {', '.join(optional)}")
    return optional[name]


def _replay(chosen: ReplayFrom, ledger: Ledger, known: Callable[[], Iterable[str]]) -> Replay:
    speeds = {each.value: each for each in Speed}
    if chosen.speed not in speeds:
        raise RecordingError(f"there is no speed {chosen.speed!r}: choose of {', '.join(speeds)}")
    return Replay(
        Recording.load(Path(chosen.file)),
        ledger,
        speed=speeds[chosen.speed],
        repeat=chosen.repeat,
        known=known,
        advice=functools.partial(_advice, Path(chosen.file)),
    )


def _advice(file: Path, model: str) -> str:
    named = f"--model {shlex.quote(model)} " if model else ""
    return f"To record it: agentrun emulator record {named}--out {shlex.quote(str(file))} --overwrite -- COMMAND"


def _recorded_plan(chosen: RecordTo) -> Plan:
    try:
        provider = target(_NAME, "recorded/provider", chosen.base_url, chosen.api_key, chosen.models)
    except PlanError as error:
        raise RecordingError(str(error)) from error
    return Plan(_NAME, _NAME, (provider,), policies=_ONE_ATTEMPT)


def _replayed_plan(recording: Recording) -> Plan:
    """A target for whatever is asked, so that what is not recorded is told by the recording; one more names models."""
    nowhere = Host("recording", 80)
    everything = Target(_NAME, "recorded/recording", nowhere, "")
    names = Target(_NAME, "recorded/names", nowhere, "", models=tuple(recording.models), weight=0)
    return Plan(_NAME, _NAME, (everything, names), policies=_ONE_ATTEMPT)
