"""Contexts: named interpreters whose state lasts from one execution to the next."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

from agentrun.emulator.guest import languages
from agentrun.emulator.guest.errors import BadRequest, NotFound
from agentrun.emulator.guest.interpreter import Ending, Interpreter, Outcome
from agentrun.emulator.guest.languages import Language
from agentrun.emulator.guest.paths import check_folder

SPARE_LANGUAGE = "python"
SPARE_DELAY = 0.5


class Spare:
    """One Python interpreter kept ready, because starting one takes longer than most executions."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._ready: Interpreter | None = None
        self._refill: asyncio.Task[None] | None = None

    async def fill(self, delay: float = 0.0) -> None:
        """Start the spare one."""
        await asyncio.sleep(delay)
        if self._ready is None:
            self._ready = await Interpreter.start(languages.find(SPARE_LANGUAGE), self._home)

    async def take(self, language: Language, cwd: str) -> Interpreter:
        """The spare one if it fits, else a new one."""
        spare, usable = self._ready, language.name == SPARE_LANGUAGE
        if spare is None or not usable or not spare.alive:
            return await Interpreter.start(language, cwd)
        self._ready = None
        self._refill = asyncio.create_task(self.fill(SPARE_DELAY))
        spare.change_directory(cwd)
        return spare

    def close(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
        if self._ready is not None:
            self._ready.close()


class Context:
    """One context: executions in it queue, and a lost interpreter is replaced at the next one."""

    def __init__(self, language: Language, cwd: str, spare: Spare) -> None:
        self.id = uuid.uuid4().hex
        self.language = language
        self.cwd = cwd
        self._spare = spare
        self._queue = asyncio.Lock()
        self._interpreter: Interpreter | None = None
        self._closed = False

    def describe(self) -> dict[str, str]:
        """As it travels."""
        return {"id": self.id, "language": self.language.name, "cwd": self.cwd}

    async def start(self) -> Interpreter:
        """The interpreter, started when there is none alive."""
        if self._interpreter is None or not self._interpreter.alive:
            self._drop()
            self._interpreter = await self._spare.take(self.language, self.cwd)
        return self._interpreter

    async def execute(self, code: str, timeout: float) -> list[dict[str, Any]]:
        """Execute after those that came before; NotFound when the context was deleted while this one waited."""
        async with self._queue:
            if self._closed:
                raise NotFound(f"context {self.id} does not exist: it was deleted")
            interpreter = await self.start()
            return entries(await interpreter.execute(code, timeout), timeout)

    def check_language(self, language: str) -> None:
        """BadRequest when a request names another language than the context has."""
        if language and languages.find(language) is not self.language:
            raise BadRequest(f"context {self.id} executes {self.language.name}, not {language}: create another context")

    def close(self) -> None:
        """End it; running code ends with it."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        if self._interpreter is not None:
            self._interpreter.close()
            self._interpreter = None


class Contexts:
    """All contexts of the sandbox."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._spare = Spare(str(home))
        self._contexts: dict[str, Context] = {}

    async def open(self) -> None:
        """Get ready for the first execution."""
        await self._spare.fill()

    def close(self) -> None:
        """End all."""
        self._spare.close()
        for context in self._contexts.values():
            context.close()

    async def create(self, language: str, cwd: Path | None) -> Context:
        """A context that lasts until it is deleted."""
        context = self._make(language, cwd)
        await context.start()
        self._contexts[context.id] = context
        return context

    def all(self) -> list[Context]:
        """All, oldest first."""
        return [*self._contexts.values()]

    def get(self, context_id: str) -> Context:
        """The context; NotFound when there is none of that id."""
        context = self._contexts.get(context_id)
        if context is None:
            raise NotFound(f"context {context_id} does not exist: create one with POST /contexts")
        return context

    def delete(self, context_id: str) -> None:
        """End the context and what runs in it."""
        self.get(context_id).close()
        del self._contexts[context_id]

    async def execute_once(self, language: str, code: str, timeout: float) -> list[dict[str, Any]]:
        """Execute in a context that exists for this execution only."""
        context = self._make(language, None)
        try:
            return await context.execute(code, timeout)
        finally:
            context.close()

    def _make(self, language: str, cwd: Path | None) -> Context:
        folder = cwd or self._home
        check_folder(folder)
        return Context(languages.find(language), str(folder), self._spare)


def entries(outcome: Outcome, timeout: float) -> list[dict[str, Any]]:
    """The outcome as the list that travels: output, then result or error, then how it ended."""
    found: list[dict[str, Any]] = []
    for kind, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if text:
            found.append({"type": kind, "text": text})
    if outcome.ending.timed_out:
        found.append({"type": "timeout", "text": _timeout_text(outcome.ending, timeout)})
        return [*found, {"type": "endOfExecution", "status": "timeout"}]
    if outcome.reply.result is not None:
        found.append({"type": "result", "text": outcome.reply.result})
    error = outcome.reply.error
    if error is not None:
        found.append({"type": "error", "name": error.name, "value": error.value, "text": error.text})
    return [*found, {"type": "endOfExecution", "status": outcome.ending.value}]


def _timeout_text(ending: Ending, timeout: float) -> str:
    state = "kept" if ending is Ending.TIMEOUT else "lost, because the code did not react to an interrupt"
    return f"the code was stopped after {timeout:g} s; the state of the context is {state}"
