"""One text, looked through as it comes: what was found, and how far it may be shown.

What might still become a match is held back. A pattern whose matches have a greatest length is held back by that; one
without by a window, in which a match must come to an end to be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentrun.gateway.safety.checks import LONGEST_MATCH, Pattern, PatternCheck, Verdict
from agentrun.model.policies import SafetyAction

REDACTED = "***"
STREAM_WINDOW = 256
"""Characters in which a match of a pattern without a greatest length must end, in a stream."""

# What has been shown is kept for patterns that look behind.
_CONTEXT = 256
_TRIM = 4096


class TextScan:
    """Looks for patterns in a text that comes in pieces; all offsets are those of the whole text."""

    def __init__(self, checks: Sequence[PatternCheck], window: int = STREAM_WINDOW) -> None:
        self.verdicts: list[Verdict] = []
        self.blocked = False
        self.cleared = 0
        self._window = window
        self._text = ""
        self._base = 0
        self._looks = [_Look(check, pattern, window) for check in checks for pattern in check.patterns]
        self._redactions: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """How long the text is so far."""
        return self._base + len(self._text)

    @property
    def size(self) -> int:
        """How many characters are kept."""
        return len(self._text)

    @property
    def redacted(self) -> bool:
        """Whether something is replaced."""
        return bool(self._redactions)

    def feed(self, text: str) -> None:
        """More of the text."""
        self._text += text
        self._advance(final=False)

    def finish(self) -> None:
        """No more is to come; should more come all the same, what spans both is found as far as it can be."""
        self._advance(final=True)

    def shown(self, start: int, end: int) -> str:
        """A part of what is cleared, as it may be shown."""
        if not self._redactions:
            return self.original(start, end)
        parts, at = list[str](), start
        for begin, stop in self._redactions:
            if begin < end and stop > start:
                parts += [self.original(at, max(at, begin)), REDACTED if begin >= start else ""]
                at = min(stop, end)
        return "".join([*parts, self.original(at, end)])

    def original(self, start: int, end: int) -> str:
        """A part of the text as it came."""
        return self._text[start - self._base : end - self._base]

    def forget(self, before: int) -> None:
        """Give up what nobody needs to see again."""
        needed = min([before, *(look.at for look in self._looks)]) - _CONTEXT
        if needed - self._base >= _TRIM:
            self._text = self._text[needed - self._base :]
            self._base = needed
            self._redactions = [span for span in self._redactions if span[1] > needed]

    def _advance(self, *, final: bool) -> None:
        cleared = self.end
        for look in self._looks:
            if self.blocked:
                return
            undecided = self._look(look, final=final)
            if look.check.action != SafetyAction.FLAG:
                cleared = min(cleared, undecided)
        if not self.blocked:
            self.cleared = max(self.cleared, self.end if final else cleared)

    def _look(self, look: _Look, *, final: bool) -> int:
        """Search from where the last search ended; return up to where all is decided."""
        limit = self.end if final else self.end - look.width
        while look.at < limit and (match := look.pattern.regex.search(self._text, look.at - self._base)):
            start, stop = match.start() + self._base, match.end() + self._base
            if start >= limit:
                break
            if stop == self.end and not final and stop - start < LONGEST_MATCH:
                look.at = start
                return start
            wanted = stop > start and (look.pattern.accept is None or look.pattern.accept(match.group()))
            look.at = stop if wanted else start + 1
            if wanted and self._found(look.check, start, stop):
                return start
        decided = max(look.at, limit)
        # Should more come after the end, a match may have begun before it.
        look.at = max(look.at, self.end - look.width) if final else decided
        return decided

    def _found(self, check: PatternCheck, start: int, stop: int) -> bool:
        """Note what was found; return whether that ends everything."""
        if not any(verdict.check == check.name for verdict in self.verdicts):
            self.verdicts.append(Verdict(check.action, check=check.name))
        if check.action == SafetyAction.BLOCK:
            self.blocked = True
        elif check.action == SafetyAction.REDACT:
            self._redact(max(start, self.cleared), stop)
        return self.blocked

    def _redact(self, start: int, stop: int) -> None:
        """Note what to replace, as one with what it overlaps."""
        apart = [span for span in self._redactions if span[1] <= start or stop <= span[0]]
        together = [span for span in self._redactions if span not in apart]
        apart.append((min([start, *(span[0] for span in together)]), max([stop, *(span[1] for span in together)])))
        self._redactions = sorted(apart)


class _Look:
    """Where one pattern has got to."""

    def __init__(self, check: PatternCheck, pattern: Pattern, window: int) -> None:
        self.check = check
        self.pattern = pattern
        # One more, because it may ask whether a word ends there.
        self.width = (pattern.longest or window) + 1
        self.at = 0


async def scan_whole(text: str, checks: Sequence[PatternCheck], piece: int) -> TextScan:
    """Look through a text that is there already, at most so many characters more at a time."""
    scan = TextScan(checks, LONGEST_MATCH)
    for at in range(0, len(text), piece):
        scan.feed(text[at : at + piece])
        if scan.blocked:
            return scan
        if at:
            # A long text must not keep all other calls waiting.
            await asyncio.sleep(0)
    scan.finish()
    return scan
