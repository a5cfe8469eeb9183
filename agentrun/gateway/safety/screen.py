"""Answers on their way through the checks: whole ones, and streams as they come.

A stream keeps its events: each is held until all of its text is cleared, and is written anew only where something in
it is replaced. So what is harmless arrives byte for byte as it was sent, a little later.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentrun._core.values import is_list, is_object
from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun.gateway.call import dump
from agentrun.gateway.safety.checks import (
    SAFETY_HEADER,
    AskingCheck,
    CheckFailedError,
    PatternCheck,
    Verdict,
    Where,
    safety_header,
)
from agentrun.gateway.safety.refusal import RefusedStream, refused_answer
from agentrun.gateway.safety.scan import TextScan, scan_whole
from agentrun.gateway.safety.texts import Slot, answer_slots, delta_slots, ended_groups, whole_slots
from agentrun.gateway.streaming.events import DONE, EventSplitter, EventTooLongError, data_of, fields_of, rewritten
from agentrun.model.policies import SafetyAction

LARGEST_ANSWER = 32 << 20
LONGEST_SEGMENT = 512

# What a function is asked about in a stream: up to the first end of a sentence after so many characters.
_SEGMENT = re.compile(rf"[\s\S]{{80,{LONGEST_SEGMENT}}}?(?<=[.!?。\uff01\uff1f\n])|[\s\S]{{{LONGEST_SEGMENT}}}")
_BEFORE_SEGMENT = 128


@dataclass(frozen=True)
class AnswerChecks:
    """What answers are checked by; `piece` is how many characters of a whole text are looked through at a time."""

    patterns: Sequence[PatternCheck]
    asking: Sequence[AskingCheck]
    piece: int

    @property
    def asking_holds(self) -> bool:
        """Whether those that are asked may refuse, so that a text waits for them."""
        return bool(self.asking) and any(check.action != SafetyAction.FLAG for check in self.asking)


class Screen(Protocol):
    """An answer of status 200 on its way: feed it as it comes, and send what is given back instead."""

    blocked: bool
    """Whether a check refused it; then what is given back ends it, and no more need be read."""
    verdicts: list[Verdict]
    """What was found so far."""

    async def feed(self, piece: bytes) -> bytes:
        """One more piece; returns what can be sent."""
        ...

    async def finish(self) -> bytes:
        """The end has come; returns the rest of what can be sent."""
        ...


class WholeScreen:
    """Checks an answer that is one object, when all of it is there."""

    def __init__(self, operation: str, checks: AnswerChecks) -> None:
        self.blocked = False
        self.verdicts: list[Verdict] = []
        self._operation = operation
        self._checks = checks
        self._body = bytearray()

    async def feed(self, piece: bytes) -> bytes:
        """Keep a piece; raises ApiError (502) when the answer is larger than 32 MiB."""
        self._body += piece
        if len(self._body) > LARGEST_ANSWER:
            raise _uncheckable("is too large")
        return b""

    async def finish(self) -> bytes:
        """The answer; raises ApiError when it could not be checked (500, 502)."""
        answer = fields_of(body := bytes(self._body))
        if answer is None:
            raise _uncheckable("is not a JSON object")
        slots = list(answer_slots(self._operation, answer))
        scans = await scan_slots(slots, self._checks.patterns, self._checks.piece, self.verdicts)
        try:
            add(self.verdicts, await ask_all(self._checks.asking, [shown_of(scan) for scan in scans], "response"))
        except CheckFailedError as error:
            raise check_failed(error) from error
        self.blocked = blocks(self.verdicts)
        if self.blocked:
            return dump(refused_answer(self._operation, answer))
        if put_all(slots, scans):
            _drop_logprobs(answer)
            return dump(answer)
        return body


class _Reading:
    """One text of a stream: how far patterns have cleared it, and how far those that are asked."""

    def __init__(self, checks: AnswerChecks) -> None:
        self.scan = TextScan(checks.patterns)
        self.waiting = 0
        """Up to where it is in events that were sent."""
        self._checks = checks
        self._asked = 0

    @property
    def cleared(self) -> int:
        return min(self.scan.cleared, self._asked) if self._checks.asking_holds else self.scan.cleared

    async def ask(self, *, final: bool) -> list[Verdict]:
        """Ask about each segment that is there."""
        found = list[Verdict]()
        while self._checks.asking and not blocks(found) and (segment := self._segment(final=final)):
            before = self.scan.shown(max(0, self._asked - _BEFORE_SEGMENT), self._asked)
            shown = self.scan.shown(self._asked, self._asked + len(segment))
            add(found, await ask_all(self._checks.asking, [before + shown], "response"))
            if not blocks(found):
                self._asked += len(segment)
        return found

    def forget(self) -> None:
        """Give up what was sent."""
        self.scan.forget(min(self.waiting, self._asked) if self._checks.asking else self.waiting)

    def _segment(self, *, final: bool) -> str:
        rest = self.scan.original(self._asked, self.scan.cleared)
        match = _SEGMENT.match(rest)
        return match.group() if match else (rest if final else "")


@dataclass
class _Held:
    """An event that waits, with the places of its text: which reading, from where, to where."""

    raw: bytes
    fields: dict[str, Any] | None = None
    places: list[tuple[Slot, _Reading, int, int]] = field(default_factory=list[tuple[Slot, _Reading, int, int]])
    changed: bool = False
    refused: bool = False

    @property
    def ready(self) -> bool:
        return not self.refused and all(end <= reading.cleared for _, reading, _, end in self.places)

    def sent(self) -> bytes:
        """The event as it may be sent."""
        for slot, reading, start, end in self.places:
            reading.waiting = end
            if (shown := reading.scan.shown(start, end)) != slot.text:
                slot.put(shown)
                self.changed = True
            reading.forget()
        if not self.changed or self.fields is None:
            return self.raw
        _drop_logprobs(self.fields)
        return rewritten(self.raw, self.fields)


class EventScreen:
    """Checks an answer that is a stream of events; what may be part of a match is held back."""

    def __init__(self, operation: str, checks: AnswerChecks) -> None:
        self.blocked = False
        self.verdicts: list[Verdict] = []
        self._operation = operation
        self._checks = checks
        self._splitter = EventSplitter()
        self._queue: deque[_Held] = deque()
        self._readings: dict[str, _Reading] = {}
        self._current: dict[str, _Reading] = {}
        self._refused = RefusedStream(operation)
        self._told = ""

    async def feed(self, piece: bytes) -> bytes:
        """One more piece; returns what can be sent, or the end of the stream when it is refused."""
        if self.blocked:
            return b""
        try:
            events = self._splitter.feed(piece)
        except EventTooLongError:
            return self._failed(_uncheckable("has an event that is too long"))
        return await self._take_all(events)

    async def finish(self) -> bytes:
        """The rest of what can be sent."""
        return await self._take_all(self._splitter.end()) + await self._closed()

    async def _closed(self) -> bytes:
        """What is left of all texts, and what was found."""
        return b"" if self.blocked else await self._guarded(self._end(list(self._current))) + self._note()

    async def _take_all(self, events: Sequence[bytes]) -> bytes:
        return b"".join([await self._take(event) for event in events if not self.blocked])

    async def _take(self, raw: bytes) -> bytes:
        data = data_of(raw)
        if data == DONE:
            sent = await self._closed()
            return sent if self.blocked else sent + raw
        fields = fields_of(data) if data else None
        # Comments pass; data that cannot be read cannot be checked, and is left out.
        if fields is not None or not data:
            self._queue.append(_Held(raw, fields))
        return await self._guarded(self._read(self._queue[-1], fields)) if fields is not None else self._drained()

    async def _guarded(self, step: Awaitable[None]) -> bytes:
        """Take a step, and return what can be sent after it: the end, when it has found something to refuse."""
        try:
            await step
        except CheckFailedError as error:
            return self._drained() + self._failed(check_failed(error))
        sent = self._drained()
        if not self.blocked:
            return sent
        return sent + self._note() + self._refused.end([held.fields for held in self._queue if held.fields])

    async def _read(self, held: _Held, fields: dict[str, Any]) -> None:
        for slot in delta_slots(self._operation, fields):
            reading = await self._turn_to(slot)
            start = reading.scan.end
            reading.scan.feed(slot.text)
            held.places.append((slot, reading, start, reading.scan.end))
            await self._look(reading)
        await self._end(ended_groups(self._operation, fields))
        if wholes := list(whole_slots(self._operation, fields)):
            await self._read_whole(held, wholes)

    async def _read_whole(self, held: _Held, slots: Sequence[Slot]) -> None:
        """Check what repeats the text of deltas, or comes without any."""
        scans = await scan_slots(slots, self._checks.patterns, self._checks.piece, self.verdicts)
        held.changed = put_all(slots, scans)
        if not self._readings:
            add(self.verdicts, await ask_all(self._checks.asking, [shown_of(scan) for scan in scans], "response"))
        self.blocked = held.refused = blocks(self.verdicts)

    async def _turn_to(self, slot: Slot) -> _Reading:
        """The reading of a text. Where another one of its group was read until now, that does not go on."""
        reading = self._readings.setdefault(slot.key, _Reading(self._checks))
        if self._current.get(slot.group) is not reading:
            await self._end([slot.group])
            self._current[slot.group] = reading
        return reading

    async def _end(self, groups: Sequence[str]) -> None:
        for group in groups:
            if reading := self._current.pop(group, None):
                reading.scan.finish()
                await self._look(reading, final=True)

    async def _look(self, reading: _Reading, *, final: bool = False) -> None:
        add(self.verdicts, reading.scan.verdicts)
        if not reading.scan.blocked:
            add(self.verdicts, await reading.ask(final=final))
        self.blocked = self.blocked or blocks(self.verdicts)

    def _drained(self) -> bytes:
        sent = list[bytes]()
        while self._queue and self._queue[0].ready:
            held = self._queue.popleft()
            sent.append(held.sent())
            self._refused.note(held.fields or {})
        return b"".join(sent)

    def _failed(self, error: ApiError) -> bytes:
        self.blocked = True
        return self._note() + error.event()

    def _note(self) -> bytes:
        """What was found, as a comment: the headers are gone."""
        value = safety_header(self.verdicts)
        told, self._told = self._told, value
        return b": %b: %b\n\n" % (SAFETY_HEADER.encode(), value.encode()) if value != told else b""


async def ask_all(checks: Sequence[AskingCheck], texts: Sequence[str], where: Where) -> list[Verdict]:
    """What the checks say of texts, up to the first one that refuses them; raises CheckFailedError."""
    found, text = list[Verdict](), "\n\n".join(texts)
    for check in checks if text else ():
        if not blocks(found) and (verdict := await check.verdict(text, where)):
            found.append(verdict)
    return found


async def scan_slots(
    slots: Sequence[Slot], checks: Sequence[PatternCheck], piece: int, verdicts: list[Verdict]
) -> list[TextScan]:
    """Look through texts that are there already, and add what is found to the verdicts."""
    scans = [await scan_whole(slot.text, checks, piece) for slot in slots]
    for scan in scans:
        add(verdicts, scan.verdicts)
    return scans


def put_all(slots: Sequence[Slot], scans: Sequence[TextScan]) -> bool:
    """Put what may be shown in the places of texts; return whether something was replaced."""
    changed = [(slot, shown_of(scan)) for slot, scan in zip(slots, scans, strict=True) if scan.redacted]
    for slot, shown in changed:
        slot.put(shown)
    return bool(changed)


def shown_of(scan: TextScan) -> str:
    """A whole text as it may be shown."""
    return scan.shown(0, scan.end)


def add(verdicts: list[Verdict], found: Iterable[Verdict]) -> None:
    """Add verdicts that are not there yet."""
    for verdict in found:
        if verdict not in verdicts:
            verdicts.append(verdict)


def blocks(verdicts: Iterable[Verdict]) -> bool:
    """Whether one of them refuses."""
    return any(verdict.action == SafetyAction.BLOCK for verdict in verdicts)


def check_failed(error: CheckFailedError) -> ApiError:
    """The error to answer with when a check that blocks could not be made."""
    return ApiError(500, str(error), "content_check_failed", type="server_error", headers=DO_NOT_RETRY)


def _uncheckable(what: str) -> ApiError:
    text = f"The answer of the model {what}, so its content cannot be checked."
    return ApiError(502, text, "content_check_failed", type="server_error", headers=DO_NOT_RETRY)


def _drop_logprobs(answer: Mapping[str, Any]) -> None:
    # They repeat each token of what was replaced.
    choices = answer.get("choices")
    for holder in [answer, *(choices if is_list(choices) else [])]:
        if is_object(holder) and holder.get("logprobs"):
            holder["logprobs"] = None if holder is not answer else []
