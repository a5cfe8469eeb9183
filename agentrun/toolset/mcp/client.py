"""A client of one MCP server, for synchronous and asynchronous callers at once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from agentrun._core.background import Tell, changing, cross
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.mcp.address import TRANSPORTS, Address, CommandAddress, Headers, HttpAddress
from agentrun.toolset.mcp.clock import Clock
from agentrun.toolset.mcp.kept import KeptSession
from agentrun.toolset.mcp.result import McpResult
from agentrun.toolset.mcp.session import Ask, Listening
from agentrun.toolset.tracing import FAILED, tool_call

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

# Told how much is done, of how much if that is known, and what the server says about it.
Progress: TypeAlias = "Callable[[float, float | None, str | None], object]"
# Told each log message of the server: its level, its data, and the logger's name.
Log: TypeAlias = "Callable[[str, Any, str | None], object]"
# Asked what the server wants to know (its message and a JSON schema): the values, or None to decline.
Elicitation: TypeAlias = "Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]"

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class McpClient:
    """An MCP server's tools, resources and prompts, over one session that all callers share.

    The session opens with the first call and belongs to no thread and no event loop; when it breaks, the next call
    opens another. Give a `url` and maybe `headers` (a mapping, or a callable that is asked at each request), or a
    `command` with `args`, `env` and `cwd`, which is started as a process with your rights. `transport` is
    `"streamable_http"` (default), `"sse"` or `"stdio"`. Requests below the Config's data endpoint are signed. `timeout`
    is seconds for each call (default: the Config's). `on_log` and `on_elicitation` are plain callables, called in a
    thread; without the latter the server is told that nobody can be asked. Structured output that does not fit the
    `outputSchema` of its tool is refused, unless `check_output` is False.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        transport: str | None = None,
        headers: Headers | None = None,
        command: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        timeout: float | None = None,
        on_log: Log | None = None,
        on_elicitation: Elicitation | None = None,
        sign: bool = True,
        check_output: bool = True,
        config: Config | None = None,
    ) -> None:
        found = transport or ("stdio" if command else "streamable_http")
        self._address = _address(
            found, url, headers, command, CommandAddress("", tuple(args), env or {}, cwd), config, sign
        )
        self._timeout = (config or Config()).get_timeout() if timeout is None else _positive(timeout)
        self._listening = _listening(on_log, on_elicitation)
        self._check_output = check_output
        self._kept: KeptSession | None = None
        self._finalizer: weakref.finalize[[], Any] | None = None

    def __repr__(self) -> str:
        where = self._address.command if isinstance(self._address, CommandAddress) else self._address.url
        return f"McpClient({where!r}, transport={self._address.transport!r})"

    # Its life

    async def open_async(self) -> Self:
        """Open the session, which the first call does otherwise; raises why it cannot be opened."""
        await self._info()
        return self

    def open(self) -> Self:
        """Open the session, which the first call does otherwise; raises why it cannot be opened."""
        return run(self.open_async())

    async def close_async(self) -> None:
        """End the session, and the process if there is one; the next call opens another."""
        with changing():
            kept, self._kept = self._kept, None
            if kept is None or not kept.background.is_current:
                return
            if self._finalizer is not None:
                self._finalizer.detach()
        try:
            await cross(kept.background, lambda _: kept.close())
        finally:
            kept.released()

    def close(self) -> None:
        """End the session, and the process if there is one; the next call opens another."""
        return run(self.close_async())

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await self.open_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_async()

    # The server

    async def server_info_async(self) -> dict[str, Any]:
        """What the server said of itself: `serverInfo`, `capabilities`, `protocolVersion`, maybe `instructions`."""
        return await self._info()

    def server_info(self) -> dict[str, Any]:
        """What the server said of itself: `serverInfo`, `capabilities`, `protocolVersion`, maybe `instructions`."""
        return run(self.server_info_async())

    async def ping_async(self) -> None:
        """Ask the server whether it is there; raises when it is not."""
        await self._request("ping", {})

    def ping(self) -> None:
        """Ask the server whether it is there; raises when it is not."""
        return run(self.ping_async())

    async def set_log_level_async(self, level: str) -> None:
        """Ask for log messages of this level (`debug` to `emergency`) and above, which go to `on_log`."""
        if level not in LOG_LEVELS:
            raise InvalidInputError(
                f"{level!r} is not a log level", field="level", hint=f"One of {', '.join(LOG_LEVELS)}"
            )
        await self._request("logging/setLevel", {"level": level})

    def set_log_level(self, level: str) -> None:
        """Ask for log messages of this level (`debug` to `emergency`) and above, which go to `on_log`."""
        return run(self.set_log_level_async(level))

    # Tools

    async def list_tools_async(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """All tools as the server describes them (`name`, `description`, `inputSchema`, ...).

        They are asked for once, and again when the server says that they changed, or when `refresh` is True.
        """
        return [dict(tool) for tool in await self._on_session(lambda kept, ask: kept.tools(refresh, ask))]

    def list_tools(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """All tools as the server describes them (`name`, `description`, `inputSchema`, ...).

        They are asked for once, and again when the server says that they changed, or when `refresh` is True.
        """
        return run(self.list_tools_async(refresh=refresh))

    async def call_tool_async(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
        progress_resets_timeout: bool = False,
        raise_on_error: bool = False,
    ) -> McpResult:
        """What a tool answers; a tool that fails answers with `is_error`, or raises ToolError with `raise_on_error`.

        `timeout` is seconds for the whole call, or since the last progress with `progress_resets_timeout`. `progress`
        is called where the caller is. A call that may have been carried out is never made again: the error's
        `executed` says what is known. Raises ToolError when the server refuses, e.g. because it has no such tool, and
        InvalidResponseError when structured output does not fit the tool's `outputSchema`.
        """
        params = {"name": name, "arguments": dict(arguments or {})}
        ask = self._ask(timeout, progress, progress_resets_timeout)
        with tool_call(name, "extension") as span:
            answer = await self._on_session(lambda kept, told: kept.call(params, self._check_output, told), ask)
            result = McpResult.from_wire(answer)
            if result.is_error:
                span.fail(FAILED)
        return result.raise_for_error(name) if raise_on_error else result

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
        progress_resets_timeout: bool = False,
        raise_on_error: bool = False,
    ) -> McpResult:
        """What a tool answers; a tool that fails answers with `is_error`, or raises ToolError with `raise_on_error`.

        `timeout` is seconds for the whole call, or since the last progress with `progress_resets_timeout`. `progress`
        is called where the caller is. A call that may have been carried out is never made again: the error's
        `executed` says what is known. Raises ToolError when the server refuses, e.g. because it has no such tool, and
        InvalidResponseError when structured output does not fit the tool's `outputSchema`.
        """
        return run(
            self.call_tool_async(
                name,
                arguments,
                timeout=timeout,
                progress=progress,
                progress_resets_timeout=progress_resets_timeout,
                raise_on_error=raise_on_error,
            )
        )

    # Resources and prompts

    async def list_resources_async(self) -> list[dict[str, Any]]:
        """All resources (`uri`, `name`, `mimeType`, ...)."""
        return await self._listed("resources/list", "resources")

    def list_resources(self) -> list[dict[str, Any]]:
        """All resources (`uri`, `name`, `mimeType`, ...)."""
        return run(self.list_resources_async())

    async def list_resource_templates_async(self) -> list[dict[str, Any]]:
        """All templates of resources (`uriTemplate`, `name`, ...)."""
        return await self._listed("resources/templates/list", "resourceTemplates")

    def list_resource_templates(self) -> list[dict[str, Any]]:
        """All templates of resources (`uriTemplate`, `name`, ...)."""
        return run(self.list_resource_templates_async())

    async def read_resource_async(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource: each has a `uri` and either `text` or `blob` (base64)."""
        answer = await self._request("resources/read", {"uri": uri})
        return list(answer.get("contents") or [])

    def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource: each has a `uri` and either `text` or `blob` (base64)."""
        return run(self.read_resource_async(uri))

    async def list_prompts_async(self) -> list[dict[str, Any]]:
        """All prompts (`name`, `description`, `arguments`)."""
        return await self._listed("prompts/list", "prompts")

    def list_prompts(self) -> list[dict[str, Any]]:
        """All prompts (`name`, `description`, `arguments`)."""
        return run(self.list_prompts_async())

    async def get_prompt_async(self, name: str, arguments: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A prompt filled in: its `messages`, each with `role` and `content`, and maybe a `description`."""
        return await self._request("prompts/get", {"name": name, "arguments": dict(arguments or {})})

    def get_prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A prompt filled in: its `messages`, each with `role` and `content`, and maybe a `description`."""
        return run(self.get_prompt_async(name, arguments))

    # How it is done

    async def _info(self) -> dict[str, Any]:
        async def opened(kept: KeptSession, ask: Ask) -> dict[str, Any]:
            return (await kept.session(ask.clock)).info

        return dict(await self._on_session(opened))

    async def _listed(self, method: str, field: str) -> list[dict[str, Any]]:
        return await self._on_session(lambda kept, ask: kept.listed(method, field, ask))

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._on_session(lambda kept, told: kept.request(method, params, told))

    def _ask(self, timeout: float | None, progress: Progress | None, progress_resets_timeout: bool) -> Ask:
        seconds = self._timeout if timeout is None else _positive(timeout)
        return Ask(Clock(seconds), progress, progress_resets_timeout)

    async def _on_session(
        self, work: Callable[[KeptSession, Ask], Coroutine[Any, Any, T]], ask: Ask | None = None
    ) -> T:
        kept, given = self._here(), ask or Ask(Clock(self._timeout))

        def started(tell: Tell) -> Coroutine[Any, Any, T]:
            return work(kept, given.told(tell))

        return await cross(kept.background, started)

    def _here(self) -> KeptSession:
        """The kept session of this process."""
        with changing():
            kept = self._kept
            if kept is None or not kept.background.is_current:
                self._kept = kept = KeptSession(self._address, self._listening)
                self._finalizer = weakref.finalize(self, kept.abandon)
                self._finalizer.atexit = False  # All of them are closed together then.
            return kept


def _positive(seconds: float) -> float:
    if not seconds > 0:
        raise InvalidInputError(f"timeout must be a positive number of seconds, not {seconds!r}", field="timeout")
    return float(seconds)


def _address(
    transport: str,
    url: str | None,
    headers: Headers | None,
    command: str | None,
    process: CommandAddress,
    config: Config | None,
    sign: bool,
) -> Address:
    if transport not in TRANSPORTS:
        raise InvalidInputError(
            f"{transport!r} is not a transport", field="transport", hint=f"One of {', '.join(TRANSPORTS)}"
        )
    if transport == "stdio":
        if not command or url:
            raise InvalidInputError("the transport 'stdio' takes a command and no url", field="command")
        return CommandAddress(command, process.args, process.env, process.cwd)
    if not url or command or process != CommandAddress(""):
        raise InvalidInputError(f"the transport {transport!r} takes a url and no command", field="url")
    return HttpAddress(url, transport, headers or {}, config, sign)


def _listening(on_log: Log | None, on_elicitation: Elicitation | None) -> Listening:
    """The callables of the user's, called in a thread so that they may take their time."""

    async def log(before: asyncio.Task[None] | None, params: dict[str, Any]) -> None:
        if before is not None:
            await asyncio.wait([before])  # Messages keep their order.
        if on_log is not None:
            await asyncio.to_thread(on_log, params.get("level", "info"), params.get("data"), params.get("logger"))

    last: list[asyncio.Task[None]] = []

    def logged(params: dict[str, Any]) -> None:
        before = last.pop() if last else None
        last.append(asyncio.ensure_future(log(before, params)))

    async def elicited(params: dict[str, Any]) -> dict[str, Any]:
        asked = params.get("message", ""), params.get("requestedSchema", {})
        values = await asyncio.to_thread(on_elicitation, *asked) if on_elicitation else None
        return {"action": "decline"} if values is None else {"action": "accept", "content": dict(values)}

    return Listening(logged, elicited if on_elicitation else None)
