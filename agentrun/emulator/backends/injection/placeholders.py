"""What stands inside a sandbox for its secrets, and which of them may be put in where.

A placeholder is made for one sandbox and means nothing to any other. The secret itself is looked up for each request,
so what becomes of its credential counts at once, and nothing here holds a value.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agentrun.emulator.backends.injection.hosts import AllowedHost, Origin, allowed_at

PREFIX = "agentrun-placeholder-"
LONGEST_PREFIX = 64
# Signs that no encoding of URLs, JSON or headers changes.
PREFIX_SIGNS = re.compile(rf"[A-Za-z0-9_.-]{{0,{LONGEST_PREFIX}}}")
HEADER, URL, BODY = "header", "url", "body"
PLACES = (HEADER, URL, BODY)
KEPT_REFUSALS = 256


class Unavailable(Exception):
    """A credential that cannot be used now; the text is the reason, without any secret."""


@dataclass(frozen=True)
class Usable:
    """What of a credential may be put in at the moment: its secret texts by their names, and at which hosts."""

    parts: Mapping[str, str] = field(repr=False)
    hosts: tuple[AllowedHost, ...]


@dataclass(frozen=True)
class Placeholder:
    """One secret text as a sandbox sees it: under `variables`, good at `hosts`, in the `places` of a request."""

    text: str
    credential: str
    part: str
    variables: tuple[str, ...]
    hosts: tuple[AllowedHost, ...]
    places: tuple[str, ...] = PLACES


@dataclass(frozen=True)
class Refused:
    """A request with a placeholder that was not let through; time in seconds since 1970."""

    time: float
    credential: str
    origin: str
    reason: str


@dataclass
class Use:
    """How often a credential was put into requests, and when that last happened."""

    count: int = 0
    last: float | None = None


class MisusedError(Exception):
    """A placeholder where it may not be; the text is what the code that sent it reads."""


def make_text(prefix: str = PREFIX) -> str:
    """A new placeholder; its 128 random bits are what makes it somebody's."""
    return f"{prefix}{secrets.token_hex(16)}"


class Injection:
    """The placeholders of one sandbox or agent.

    `look_up` gives what a credential is now, or raises Unavailable. `on_refusal` hears of each refusal, `on_use` of
    each request that a credential was put into, by its name.
    """

    def __init__(
        self,
        owner: str,
        placeholders: Iterable[Placeholder],
        look_up: Callable[[str], Usable],
        on_refusal: Callable[[Refused], None] = lambda refused: None,
        on_use: Callable[[str], None] = lambda credential: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.owner = owner
        self.placeholders = tuple(placeholders)
        self.refusals: deque[Refused] = deque(maxlen=KEPT_REFUSALS)
        self.uses = {placeholder.credential: Use() for placeholder in self.placeholders}
        self._by_text = {placeholder.text.encode(): placeholder for placeholder in self.placeholders}
        self._look_up = look_up
        self._on_refusal = on_refusal
        self._on_use = on_use
        self._clock = clock

    @property
    def environment(self) -> dict[str, str]:
        """What code inside sees."""
        return {name: placeholder.text for placeholder in self.placeholders for name in placeholder.variables}

    @property
    def texts(self) -> tuple[bytes, ...]:
        """All placeholders as they travel."""
        return tuple(self._by_text)

    def reaches(self, origin: Origin) -> bool:
        """Whether a placeholder is good at this origin, so that what goes there has to be looked into."""
        return any(allowed_at(placeholder.hosts, origin) for placeholder in self.placeholders)

    def value(self, text: bytes, origin: Origin, place: str) -> str:
        """The secret for a placeholder that was found; MisusedError, which is noted, when it may not be put in."""
        placeholder = self._by_text[text]
        try:
            return self._allowed(placeholder, origin, place)
        except Unavailable as error:
            raise self.refusal(placeholder, origin, str(error)) from None

    def note_use(self, credential: str) -> None:
        """A credential was put into a request; however often it stands in there, that is one use."""
        use = self.uses[credential]
        use.count, use.last = use.count + 1, self._clock()
        self._on_use(credential)

    def values_at(self, origin: Origin) -> dict[str, str]:
        """The secrets that may go to an origin now, with the placeholder of each: none of them shall come back."""
        found: dict[str, str] = {}
        for placeholder in self.placeholders:
            try:
                found[self._present(placeholder, origin)] = placeholder.text
            except Unavailable:
                continue
        return found

    def refusal(self, placeholder: Placeholder, origin: Origin, reason: str) -> MisusedError:
        """The error for a placeholder that was sent somewhere; it is noted here."""
        refused = Refused(self._clock(), placeholder.credential, str(origin), reason)
        self.refusals.append(refused)
        self._on_refusal(refused)
        return MisusedError(f"{origin} is refused for {self.owner}: {reason}")

    def named(self, text: bytes) -> Placeholder:
        """A placeholder by its text."""
        return self._by_text[text]

    def _allowed(self, placeholder: Placeholder, origin: Origin, place: str) -> str:
        if place not in placeholder.places:
            allowed = ", ".join(placeholder.places)
            raise Unavailable(f"the credential {placeholder.credential} may be used in {allowed}, not in the {place}")
        return self._present(placeholder, origin)

    def _present(self, placeholder: Placeholder, origin: Origin) -> str:
        name = placeholder.credential
        if not allowed_at(placeholder.hosts, origin):
            raise Unavailable(f"the credential {name} may be used at {_written(placeholder.hosts)} only")
        now = self._look_up(name)
        if not allowed_at(now.hosts, origin):
            where = _written(now.hosts) if now.hosts else "no host any more"
            raise Unavailable(f"the credential {name} may be used at {where}: its allowedHosts have changed")
        if placeholder.part not in now.parts:
            raise Unavailable(f"the credential {name} has no {placeholder.part} any more")
        return now.parts[placeholder.part]


def _written(hosts: Iterable[AllowedHost]) -> str:
    return ", ".join(map(str, hosts))
