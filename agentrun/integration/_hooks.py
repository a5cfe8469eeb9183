"""What happens before and after the calls of tools: to forbid them, to change them, to keep a record of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import uuid4

from agentrun.errors import Executed, ToolError
from agentrun.integration._calling import called
from agentrun.integration._outcome import ToolOutcome, as_json, error_text, plain_outcome
from agentrun.integration._session import current_session
from agentrun.integration._tool import Tool

if TYPE_CHECKING:
    from agentrun.integration._tool import Perform, Present

log = logging.getLogger("agentrun")


class ToolVetoedError(ToolError):
    """A hook does not allow a call; the message is the reason, which the model is told. The tool did nothing."""


@dataclass(frozen=True)
class ToolCall:
    """A call that is about to be made: of which tool, with what, in which session of an agent."""

    tool: str
    arguments: Mapping[str, Any]
    session_id: str | None = None
    call_id: str = field(default_factory=lambda: uuid4().hex)

    def veto(self, reason: str, hint: str | None = None) -> ToolVetoedError:
        """The error to raise in a hook when the call must not be made: `raise call.veto("...")`."""
        return ToolVetoedError(reason, executed=Executed.NO, hint=hint)


@dataclass(frozen=True)
class AuditRecord:
    """A call that is over: `status` is `ok`, `error` or `vetoed`, and `error` says what happened.

    `arguments` are those that the model wrote, before hooks changed them; `seconds` is how long all of it took.
    """

    tool: str
    arguments: Mapping[str, Any]
    session_id: str | None
    call_id: str
    status: str
    started_at: datetime
    seconds: float
    error: str | None = None


Before: TypeAlias = Callable[[ToolCall], Any]
After: TypeAlias = Callable[[ToolCall, ToolOutcome], Any]
Audit: TypeAlias = Callable[[AuditRecord], Any]


def _all(functions: Any) -> tuple[Callable[..., Any], ...]:
    if functions is None:
        return ()
    return (functions,) if callable(functions) else tuple(functions)


class Hooks:
    """Functions around the calls of tools; each may be given alone or in a list, and be plain or asynchronous.

    `before` gets a ToolCall. It may raise, so that the tool is not called and the model reads why; give other arguments
    back; or give None back, which changes nothing. `after` gets the call and its ToolOutcome, also that of a failure.
    It may give another result or outcome back, raise, or give None back. They run in their order, `after` in reverse.
    `audit` gets an AuditRecord of each call when it is over; when it fails itself, that is logged and the call stands.

    Calling it with a tool gives the tool with these hooks, so it also goes wherever tools can be modified, such as
    `toolset("name", modify_tool_name=Hooks(before=check))`.
    """

    def __init__(
        self,
        before: Before | Sequence[Before] | None = None,
        after: After | Sequence[After] | None = None,
        audit: Audit | Sequence[Audit] | None = None,
    ) -> None:
        self.before = _all(before)
        self.after = _all(after)[::-1]
        self.audit = _all(audit)

    def __call__(self, tool: Tool) -> Tool:
        """The tool with these hooks."""
        hooked = _Hooked(self, tool.name, tool.perform, tool.present)
        return replace(tool, perform=hooked, present=hooked.presented)


@dataclass(frozen=True)
class _Hooked:
    """The body of a tool, between hooks."""

    hooks: Hooks
    tool: str
    perform: Perform
    present: Present

    def presented(self, result: Any) -> ToolOutcome:
        """What of a result a model is shown; a hook may have made the outcome already."""
        return result if isinstance(result, ToolOutcome) else self.present(result)

    def bound(self, instance: Any) -> _Hooked:
        """The same hooks around a method's body of this object."""
        inner: Callable[[Any], Perform] | None = getattr(self.perform, "bound", None)
        return self if inner is None else replace(self, perform=inner(instance))

    async def __call__(self, arguments: dict[str, Any]) -> Any:
        call = ToolCall(self.tool, dict(arguments), current_session())
        written: dict[str, Any] = (
            as_json(arguments) if self.hooks.audit else {}
        )  # Hooks may change what is inside of them.
        started_at, started = datetime.now(timezone.utc), time.monotonic()
        problem: BaseException | None = None
        try:
            return await self._called(call)
        except BaseException as error:
            problem = error
            raise
        finally:
            status, said = _ended(problem)
            seconds = time.monotonic() - started
            record = AuditRecord(self.tool, written, call.session_id, call.call_id, status, started_at, seconds, said)
            await self._audited(record)

    async def _called(self, call: ToolCall) -> Any:
        given = call
        for hook in self.hooks.before:
            changed = await called(hook, given)
            given = given if changed is None else _changed(given, changed)
        result, outcome = await self._performed(given)
        for hook in self.hooks.after:
            changed = await called(hook, given, outcome)
            if changed is not None:
                outcome = plain_outcome(changed)
                result = outcome if outcome.images else outcome.value
        if outcome.error is not None:
            raise outcome.error
        return result

    async def _performed(self, call: ToolCall) -> tuple[Any, ToolOutcome]:
        try:
            result = await self.perform(dict(call.arguments))
        except Exception as error:
            return None, ToolOutcome(error=error)
        return result, self.presented(result)

    async def _audited(self, record: AuditRecord) -> None:
        for hook in self.hooks.audit:
            try:
                await called(hook, record)
            except Exception as problem:
                log.warning("the audit of a call of %s failed: %s", self.tool, error_text(problem))


def _changed(call: ToolCall, changed: Any) -> ToolCall:
    if isinstance(changed, ToolCall):
        return changed
    if isinstance(changed, Mapping):
        return replace(call, arguments=dict(cast("Mapping[str, Any]", changed)))
    raise ToolError(
        f"a hook of {call.tool} gave {type(changed).__name__} back",
        hint="A hook before a call gives arguments, a ToolCall or None back",
    )


def _ended(problem: BaseException | None) -> tuple[str, str | None]:
    """How a call ended, and what the problem was."""
    if problem is None:
        return "ok", None
    status = "vetoed" if isinstance(problem, ToolVetoedError) else "error"
    return status, error_text(problem) if isinstance(problem, Exception) else type(problem).__name__
