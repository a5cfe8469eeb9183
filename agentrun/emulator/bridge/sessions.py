"""All sessions with one server: begun, found, and ended when they are idle or old, or their server ended."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

from agentrun.emulator.bridge.plan import Rules
from agentrun.emulator.bridge.session import Session, Start

_SWEEP_SECONDS = 0.25
# A server that ends sooner than this has not worked; the next start waits a while, and longer each time.
_WORKED_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0


class TooMany(Exception):
    """There are as many sessions as there may be."""


class Sessions:
    """The sessions, each with a server of its own, which `start` starts."""

    def __init__(self, start: Start, rules: Rules | None = None) -> None:
        self._start = start
        self._rules = rules or Rules()
        self._sessions: dict[str, Session] = {}
        self._starting: set[str] = set()
        self._crashes = 0
        self._pause_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self.crash: str | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(self, *, all_on_one: bool = False) -> Session:
        """A new session, whose server was started. Raises TooMany, and OSError when it cannot be started."""
        if len(self._starting) + len(self._sessions) >= self._rules.most:
            raise TooMany(f"there are {self._rules.most} sessions: end one, or wait until one is idle for too long")
        session = Session(secrets.token_hex(16), self._worked, all_on_one=all_on_one)
        self._starting.add(session.id)
        try:
            await self._start_server(session)
        finally:
            self._starting.discard(session.id)
        return session

    async def _start_server(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._pause_until - loop.time()))
        session.began = session.used = loop.time()
        session.peer = await self._start(session.received, partial(self._server_ended, session))
        self._sessions[session.id] = session
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = loop.create_task(self._sweep())

    def find(self, id: str) -> Session | None:
        """A session by its id; it counts as used."""
        session = self._sessions.get(id)
        if session is not None:
            session.touch()
        return session

    async def end(self, session: Session, reason: str) -> None:
        """End a session and its server."""
        if self._sessions.pop(session.id, None) is not None:
            session.end(reason)
            await session.peer.close()

    async def close(self) -> None:
        """End all of them."""
        if self._sweeper:
            self._sweeper.cancel()
        await asyncio.gather(*(self.end(each, "the server was stopped") for each in list(self._sessions.values())))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _server_ended(self, session: Session, reason: str) -> None:
        """A server ended that nobody asked to: its session is over, and the next one gets a new server."""
        loop = asyncio.get_running_loop()
        self.crash = reason
        self._crashes = self._crashes + 1 if loop.time() - session.began < _WORKED_SECONDS else 0
        if self._crashes:
            self._pause_until = loop.time() + min(_FIRST_PAUSE * 2 ** (self._crashes - 1), _LONGEST_PAUSE)
        self._begin_to_end(session, reason)

    def _worked(self) -> None:
        """A server has answered: whatever went wrong before is over."""
        self.crash = None
        self._crashes = 0

    def _begin_to_end(self, session: Session, reason: str) -> None:
        task = asyncio.get_running_loop().create_task(self.end(session, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while self._sessions:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._rules.idle / 2))
            now = asyncio.get_running_loop().time()
            for session in list(self._sessions.values()):
                if now - session.began > self._rules.life:
                    self._begin_to_end(session, f"the session's life of {self._rules.life:g} s was over")
                elif not session.busy and now - session.used > self._rules.idle:
                    self._begin_to_end(session, f"the session was idle for {self._rules.idle:g} s")
