"""Contexts: named interpreters whose state lasts from one execution to the next."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

from agentrun.emulator.guest import languages
from agentrun.emulator.guest.checkpoints import Checkpoints, Trees
from agentrun.emulator.guest.errors import BadRequest, NotFound, Unavailable
from agentrun.emulator.guest.interpreter import Interpreter, Outcome, Worker
from agentrun.emulator.guest.languages import Language
from agentrun.emulator.guest.outputs import Output
from agentrun.emulator.guest.paths import check_folder
from agentrun.emulator.guest.sources import Sources

MAX_FORKS = 32
DELETED = "the context was deleted"


class Context:
    """One context: executions in it queue, and a lost interpreter is replaced at the next one."""

    def __init__(
        self, language: Language, cwd: Path, sources: Sources, trees: Trees, context_id: str | None = None
    ) -> None:
        self.id = context_id or uuid.uuid4().hex
        self.language = language
        self.cwd = cwd
        self.checkpoints = Checkpoints(self.id, cwd, trees)
        self._sources = sources
        self._trees = trees
        self._queue = asyncio.Lock()
        self._interpreter: Interpreter | None = None
        self._closed = False

    def describe(self) -> dict[str, str]:
        """As it travels."""
        return {"id": self.id, "language": self.language.name, "cwd": str(self.cwd)}

    def check_language(self, language: str) -> None:
        """BadRequest when a request names another language than the context has."""
        if language and languages.find(language).name != self.language.name:
            raise BadRequest(f"context {self.id} executes {self.language.name}, not {language}: create another context")

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Hold the context after those that came before; NotFound when it was deleted while this one waited."""
        async with self._queue:
            self._check_open()
            yield

    async def start(self) -> Interpreter:
        """The interpreter, started when there is none alive."""
        if self._interpreter is None or not self._interpreter.alive:
            self._drop("it was replaced")
            self._interpreter = await self.language.start(self._sources, str(self.cwd))
        if self._closed:
            self._drop(DELETED)
        self._check_open()
        return self._interpreter

    def interrupt(self) -> bool:
        """Interrupt the running code; False when none runs."""
        interpreter = self._interpreter
        if interpreter is None or not interpreter.busy:
            return False
        interpreter.interrupt()
        return True

    async def restart(self) -> None:
        """Begin afresh at once; code that runs is ended, checkpoints stay."""
        self._drop("the context was restarted")
        async with self.turn():
            await self.start()

    async def checkpoint(self) -> dict[str, str]:
        """Remember the state and the files as they are now. Raises Unavailable for all but Python."""
        async with self.turn():
            return await self.checkpoints.add(await self._python())

    async def rollback(self, checkpoint_id: str) -> None:
        """Go back to a checkpoint, which stays; code that runs is waited for."""
        async with self.turn():
            interpreter = await self.checkpoints.restore(checkpoint_id)
            self._drop("the context was rolled back")
            self._interpreter = interpreter
            await self.start()

    async def fork(self) -> Context:
        """A context with a copy of the state, which works in a copy of the folder. Raises as `checkpoint` does."""
        async with self.turn():
            interpreter, name = await self._python(), uuid.uuid4().hex
            folder = await self._trees.copy(self.cwd, name)
            context = Context(self.language, folder, self._sources, self._trees, name)
            try:
                context.adopt(await interpreter.fork())
            except BaseException:
                context.close()
                raise
            return context

    def adopt(self, interpreter: Worker) -> None:
        """Go on with this interpreter, in the context's folder."""
        interpreter.change_directory(str(self.cwd))
        self._interpreter = interpreter

    def close(self, reason: str = DELETED) -> None:
        """End it, and what runs in it."""
        self._closed = True
        self._drop(reason)
        self.checkpoints.close()
        self._trees.forget(self.id)

    async def _python(self) -> Worker:
        if self.language.name == "python":
            interpreter = await self.start()
            if isinstance(interpreter, Worker):
                return interpreter
        raise Unavailable(f"only Python contexts can be cloned, and this one executes {self.language.name}")

    def _check_open(self) -> None:
        if self._closed:
            raise NotFound(f"context {self.id} does not exist: it was deleted")

    def _drop(self, reason: str) -> None:
        if self._interpreter is not None:
            self._interpreter.close(reason)
            self._interpreter = None


class Execution:
    """One run of code in a context: it waits for its turn, runs, and is over when `over` is done."""

    def __init__(self, context: Context, code: str, timeout: float) -> None:
        self.output = Output()
        self._context = context
        self._code = code
        self._timeout = timeout
        self._interpreter: Interpreter | None = None
        self._queued = True
        self._abandoned = False
        self.over = asyncio.ensure_future(self._run())
        self.over.add_done_callback(self._on_over)

    def abandon(self) -> None:
        """Nobody wants the answer: leave the queue, or interrupt the code."""
        self._abandoned = True
        if self._queued:
            self.over.cancel()
        elif self._interpreter is not None and not self.over.done():
            self._interpreter.stop()

    def _on_over(self, over: asyncio.Task[Outcome]) -> None:
        self.output.changed.set()
        if not over.cancelled():
            over.exception()  # an error that nobody waits for any more is no error

    async def _run(self) -> Outcome:
        async with self._context.turn():
            self._queued = False
            interpreter = self._interpreter = await self._context.start()
            if self._abandoned:
                raise asyncio.CancelledError
            return await interpreter.execute(self._code, self._timeout, self.output)


class Contexts:
    """All contexts of the sandbox."""

    def __init__(self, home: Path, sources: Sources) -> None:
        self._home = home
        self._sources = sources
        self._trees = Trees(home)
        self._contexts: dict[str, Context] = {}

    async def open(self) -> None:
        """Get ready for the first execution."""
        await self._sources.open()

    def close(self) -> None:
        """End all."""
        self._sources.close()
        self._trees.close()
        for context in self._contexts.values():
            context.close("the sandbox ends")

    async def create(self, language: str, cwd: Path | None) -> Context:
        """A context that lasts until it is deleted."""
        context = self.make(language, cwd)
        await context.start()
        return self._keep(context)

    def make(self, language: str, cwd: Path | None = None) -> Context:
        """A context that nobody else gets to know; whoever makes it closes it."""
        folder = cwd or self._home
        check_folder(folder)
        return Context(languages.find(language), folder, self._sources, self._trees)

    async def fork(self, context_id: str, count: int) -> list[Context]:
        """Contexts that each begin where this one is now. Raises as `Context.fork` does, and leaves none then."""
        if not 1 <= count <= MAX_FORKS:
            raise BadRequest(f"count must be from 1 to {MAX_FORKS}, not {count}")
        original, forks = self.get(context_id), list[Context]()
        try:
            for _ in range(count):
                forks.append(await original.fork())
        except BaseException:
            for fork in forks:
                fork.close()
            raise
        return [self._keep(fork) for fork in forks]

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

    def _keep(self, context: Context) -> Context:
        self._contexts[context.id] = context
        return context
