"""The tools of one sandbox, which is created when the first of them is called."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from agentrun._core.blocking import run
from agentrun._core.closing import Closing
from agentrun._core.network import OSSMountConfig
from agentrun.config import Config
from agentrun.errors import AgentRunError, Executed, InvalidInputError, ResourceNotExistError, SandboxTerminatedError
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.model import NASConfig, PolarFsConfig, TemplateType
from agentrun.sandbox.sandbox import Sandbox
from agentrun.sandbox.toolset.code_interpreter import TOOLS, ToolDefinition
from agentrun.sandbox.toolset.once import Once
from agentrun.sandbox.toolset.tool import SandboxTool, error_result

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from agentrun.sandbox.options import SandboxOptions

log = logging.getLogger("agentrun")

T = TypeVar("T")

SandboxFactory: TypeAlias = "Callable[[], CodeInterpreterSandbox | Awaitable[CodeInterpreterSandbox]]"
_GONE = "Its files and variables are gone; a tool set made with recreate=True goes on in a new sandbox"
_NEXT = "Its files and variables are gone; the next call gets a new sandbox"


class SandboxToolSet(Closing):
    """The tools of a code interpreter, for any framework; safe to share between threads and tasks.

    `sandbox` is one that exists and stays the caller's, or a function that creates one, plain or async: it is called
    at the first tool call, and what it made is deleted by `close`. A tool call that fails never replaces the sandbox.
    When the sandbox has ended, calls raise SandboxTerminatedError; with `recreate` the next one gets a new sandbox.
    """

    def __init__(self, sandbox: CodeInterpreterSandbox | SandboxFactory, *, recreate: bool = False) -> None:
        self._given = sandbox if isinstance(sandbox, CodeInterpreterSandbox) else None
        if recreate and self._given:
            raise InvalidInputError(
                "to recreate a sandbox, the tool set must know how",
                field="recreate",
                hint="Give a function that creates one instead of the sandbox, or use SandboxToolSet.of_template",
            )
        self._factory = sandbox
        self._recreate = recreate
        self._once = Once(self._make, "the tool set")

    @classmethod
    def of_template(
        cls,
        template_name: str,
        *,
        sandbox_idle_timeout_seconds: int | None = 600,
        nas_config: NASConfig | None = None,
        oss_mount_config: OSSMountConfig | None = None,
        polar_fs_config: PolarFsConfig | None = None,
        config: Config | None = None,
        recreate: bool = False,
        **options: Unpack[SandboxOptions],
    ) -> SandboxToolSet:
        """The tools of a sandbox that is made from this template; the other arguments are those of Sandbox.create."""

        async def create() -> CodeInterpreterSandbox:
            return await Sandbox.create_async(
                TemplateType.CODE_INTERPRETER,
                template_name,
                sandbox_idle_timeout_seconds,
                nas_config=nas_config,
                oss_mount_config=oss_mount_config,
                polar_fs_config=polar_fs_config,
                config=config,
                **options,
            )

        return cls(create, recreate=recreate)

    async def sandbox_async(self) -> CodeInterpreterSandbox:
        """The sandbox that the tools work in; creates it when that has not been done."""
        return await self._once.get()

    def sandbox(self) -> CodeInterpreterSandbox:
        """The sandbox that the tools work in; creates it when that has not been done."""
        return run(self.sandbox_async())

    async def use_async(self, act: Callable[[CodeInterpreterSandbox], Awaitable[T]]) -> T:
        """Do something with the sandbox; raises SandboxTerminatedError when it has ended, however that shows."""
        sandbox = await self._once.get()
        try:
            return await act(sandbox)
        except (SandboxTerminatedError, ResourceNotExistError) as error:
            raise ended(error, _GONE) or error from error

    def use(self, act: Callable[[CodeInterpreterSandbox], Awaitable[T]]) -> T:
        """Do something with the sandbox; raises SandboxTerminatedError when it has ended, however that shows."""
        return run(self.use_async(act))

    def tools(self) -> list[SandboxTool]:
        """All tools; asks for nothing yet."""
        return [self._bound(definition) for definition in TOOLS]

    def tool(self, name: str) -> SandboxTool:
        """One tool by its name; raises InvalidInputError, which names those that there are."""
        definition = next((each for each in TOOLS if each.name == name), None)
        if definition is None:
            known = ", ".join(each.name for each in TOOLS)
            raise InvalidInputError(f"there is no tool {name!r}", field="name", hint=f"There are {known}")
        return self._bound(definition)

    async def call_async(self, name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a tool by its name: its result, or `{"error": ...}` as `SandboxTool.call` gives it."""
        try:
            found = self.tool(name)
        except InvalidInputError as error:
            return error_result(error)
        return await found.outcome({} if arguments is None else arguments)

    def call(self, name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a tool by its name: its result, or `{"error": ...}` as `SandboxTool.call` gives it."""
        return run(self.call_async(name, arguments))

    async def close_async(self) -> None:
        """Delete the sandbox, if the tool set created it; calling it twice is allowed."""
        sandbox = await self._once.close()
        if sandbox is not None and sandbox is not self._given:
            await sandbox.delete_async()

    def _bound(self, definition: ToolDefinition) -> SandboxTool:
        perform = partial(self._perform, definition)
        return SandboxTool(definition.name, definition.description, deepcopy(definition.parameters), perform)

    async def _make(self) -> CodeInterpreterSandbox:
        if isinstance(self._factory, CodeInterpreterSandbox):
            return self._factory
        made = self._factory()
        sandbox = await made if inspect.isawaitable(made) else made
        return await started(sandbox)

    async def _perform(self, definition: ToolDefinition, arguments: dict[str, Any]) -> dict[str, Any]:
        sandbox = await self._once.get()
        try:
            return await definition.run(sandbox, **arguments)
        except (SandboxTerminatedError, ResourceNotExistError) as error:
            over = ended(error, _NEXT if self._recreate else _GONE)
            if over is None:
                raise
            if not self._recreate:
                raise over from error
            self._once.discard(sandbox)
            if over.executed != Executed.NO:
                raise over from error
        log.warning("sandbox %s has ended; %s goes on in a new one", sandbox.sandbox_id, definition.name)
        return await definition.run(await self._once.get(), **arguments)


async def started(sandbox: CodeInterpreterSandbox) -> CodeInterpreterSandbox:
    """A sandbox that was just created, once it can be used; one that never can be is deleted."""
    try:
        return await sandbox.wait_until_healthy_async()
    except BaseException:
        with suppress(AgentRunError):
            await sandbox.delete_async()
        raise


def ended(error: SandboxTerminatedError | ResourceNotExistError, hint: str) -> SandboxTerminatedError | None:
    """The error as one about a sandbox that is over; None when something else is missing."""
    if isinstance(error, SandboxTerminatedError):
        over = error
    elif error.resource_type == Sandbox.kind:
        over = SandboxTerminatedError(error.message, reason="it does not exist any more", executed=Executed.NO)
    else:
        return None
    over.hint = hint
    return over
