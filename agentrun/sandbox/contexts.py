"""Contexts, which keep variables from one execution to the next, and the code that runs in them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentrun._core.api import segment
from agentrun._core.blocking import run
from agentrun._sandbox_tools.definitions import HOME
from agentrun.errors import AgentRunError, InvalidInputError, InvalidResponseError
from agentrun.sandbox.calls import wait_of
from agentrun.sandbox.checkpoints import CheckpointOperations
from agentrun.sandbox.data import EXECUTE_SECONDS, execution
from agentrun.sandbox.execution import Callbacks, ExecutionStream, OnError, OnResult, OnText
from agentrun.sandbox.extensions import FORK, INTERRUPT, RESTART, STREAM
from agentrun.sandbox.model import CodeLanguage
from agentrun.sandbox.result import ExecutionResult
from agentrun.sandbox.tracing import begin_code, tell_event

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox


class ContextOperations(CheckpointOperations):
    """Contexts, which keep variables from one execution to the next.

    `sandbox.context` remembers the context made or read last and runs code there; what `create` and `get` return
    stays with its own context, and as a context manager deletes it at the end.
    """

    def __init__(self, sandbox: CodeInterpreterSandbox, context_id: str | None = None) -> None:
        super().__init__(sandbox)
        self._context_id = context_id

    def __repr__(self) -> str:
        return f"ContextOperations(context_id={self._context_id!r})"

    @property
    def context_id(self) -> str | None:
        """The context that code runs in, None when each execution has one of its own."""
        return self._context_id

    async def list_async(self) -> Sequence[dict[str, Any]]:
        """All contexts: `id`, `language`, `cwd`."""
        return await self._api.list_contexts_async()

    def list(self) -> Sequence[dict[str, Any]]:
        """All contexts: `id`, `language`, `cwd`."""
        return run(self.list_async())

    async def create_async(
        self, language: CodeLanguage | str | None = CodeLanguage.PYTHON, cwd: str = HOME
    ) -> ContextOperations:
        """Start a context; the result runs code there."""
        return self._bound(await self._api.create_context_async(language, cwd))

    def create(self, language: CodeLanguage | str | None = CodeLanguage.PYTHON, cwd: str = HOME) -> ContextOperations:
        """Start a context; the result runs code there."""
        return run(self.create_async(language, cwd))

    async def get_async(self, context_id: str | None = None) -> ContextOperations:
        """Read a context; the result runs code there."""
        return self._bound(await self._api.get_context_async(self._chosen(context_id)))

    def get(self, context_id: str | None = None) -> ContextOperations:
        """Read a context; the result runs code there."""
        return run(self.get_async(context_id))

    async def execute_async(
        self,
        code: str,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        on_result: OnResult = None,
        on_error: OnError = None,
    ) -> ExecutionResult:
        """Run code for at most `timeout` seconds, in a context of its own when there is no current one.

        Code that fails is no error here: look at `error`, or call `raise_on_error()`. The functions are called with
        what is printed, with results and with the error while the code runs.
        """
        callbacks = Callbacks(on_stdout, on_stderr, on_result, on_error)
        if callbacks:
            stream = await self._stream(callbacks, code, language, context_id, timeout)
            return await stream.result_async()
        answer = await self._api.execute_code_async(code, context_id or self._context_id, language, timeout)
        return ExecutionResult(answer)

    def execute(
        self,
        code: str,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        on_result: OnResult = None,
        on_error: OnError = None,
    ) -> ExecutionResult:
        """Run code for at most `timeout` seconds, in a context of its own when there is no current one.

        Code that fails is no error here: look at `error`, or call `raise_on_error()`. The functions are called with
        what is printed, with results and with the error while the code runs.
        """
        return run(
            self.execute_async(
                code,
                language,
                context_id,
                timeout,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
                on_result=on_result,
                on_error=on_error,
            )
        )

    async def execute_stream_async(
        self,
        code: str,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        on_result: OnResult = None,
        on_error: OnError = None,
    ) -> ExecutionStream:
        """Run code like `execute`, and give what happens piece by piece: output, results, an error, the end.

        A service that ignores the wish to stream is heard when the code has ended.
        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        callbacks = Callbacks(on_stdout, on_stderr, on_result, on_error)
        return await self._stream(callbacks, code, language, context_id, timeout)

    def execute_stream(
        self,
        code: str,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        timeout: int | None = EXECUTE_SECONDS,
        *,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
        on_result: OnResult = None,
        on_error: OnError = None,
    ) -> ExecutionStream:
        """Run code like `execute`, and give what happens piece by piece: output, results, an error, the end.

        A service that ignores the wish to stream is heard when the code has ended.
        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        callbacks = Callbacks(on_stdout, on_stderr, on_result, on_error)
        return run(self._stream(callbacks, code, language, context_id, timeout))

    async def _stream(
        self,
        callbacks: Callbacks,
        code: str,
        language: CodeLanguage | str | None,
        context_id: str | None,
        timeout: int | None,
    ) -> ExecutionStream:
        body = {**execution(code, context_id or self._context_id, language, timeout), "stream": True}
        span = begin_code(self._api.sandbox_id, body)
        try:
            answer = await self._api.open(
                "POST", "/contexts/execute", body=body, timeout=wait_of(timeout), extension=STREAM
            )
        except BaseException as error:
            span.end(error)
            raise
        stream = ExecutionStream(answer, self._api, callbacks)
        if span.is_recording:
            stream.watch(lambda event: tell_event(span, event), span.end)
        return stream

    async def restart_async(self) -> ContextOperations:
        """Start the current context afresh, without its variables; its id stays.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        await self._api.ask("POST", self._path("/restart"), extension=RESTART)
        return self

    def restart(self) -> ContextOperations:
        """Start the current context afresh, without its variables; its id stays.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.restart_async())

    async def interrupt_async(self) -> bool:
        """Stop the code that runs in the current context, which keeps its variables; False when none runs.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        answer = await self._api.ask("POST", self._path("/interrupt"), extension=INTERRUPT)
        return bool(answer.get("interrupted"))

    def interrupt(self) -> bool:
        """Stop the code that runs in the current context, which keeps its variables; False when none runs.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.interrupt_async())

    async def fork_async(self, count: int = 1) -> Sequence[ContextOperations]:
        """Copies of the current context, each with its variables and a copy of its folder; they go on by themselves.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        copies = await self._api.ask_list("POST", self._path("/fork"), body={"count": count}, extension=FORK)
        return [ContextOperations(self._sandbox, _id(copy)) for copy in copies]

    def fork(self, count: int = 1) -> Sequence[ContextOperations]:
        """Copies of the current context, each with its variables and a copy of its folder; they go on by themselves.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.fork_async(count))

    async def delete_async(self, context_id: str | None = None) -> dict[str, Any]:
        """End a context, the current one by default."""
        chosen = self._chosen(context_id)
        answer = await self._api.delete_context_async(chosen)
        for holder in (self, self._sandbox.context):
            if holder._context_id == chosen:
                holder._context_id = None
        return answer

    def delete(self, context_id: str | None = None) -> dict[str, Any]:
        """End a context, the current one by default."""
        return run(self.delete_async(context_id))

    def _chosen(self, context_id: str | None) -> str:
        if chosen := context_id or self._context_id:
            return chosen
        raise InvalidInputError("there is no current context", field="context_id", hint="Create one, or give its id")

    def _path(self, below: str) -> str:
        return f"/contexts/{segment(self._chosen(None))}{below}"

    def _bound(self, answer: dict[str, Any]) -> ContextOperations:
        self._sandbox.context._context_id = _id(answer)
        return ContextOperations(self._sandbox, _id(answer))

    async def __aenter__(self) -> ContextOperations:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context_id is None:
            return
        try:
            await self.delete_async()
        except AgentRunError:
            # The sandbox may be gone already; that never hides what went wrong inside.
            if error is None:
                raise

    def __enter__(self) -> ContextOperations:
        return run(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self.__aexit__(kind, error, trace))


def _id(answer: dict[str, Any]) -> str:
    if not answer.get("id"):
        raise InvalidResponseError(f"the answer is not a context: {answer!r:.200}")
    return str(answer["id"])
