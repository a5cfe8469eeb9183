"""MCP servers that run inside a sandbox: JSON-RPC over their stdin and stdout, through the sandbox's process API.

The client of the `mcp` package reads in a background task, which blocking mode does not have. Here each request opens
the server's output, writes its line and reads up to the answer, so both modes work and nothing stays open in between.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from agentrun._core.api import segment
from agentrun._core.session import ByteStream
from agentrun.errors import ClientError, InvalidInputError, RequestTimeoutError, SandboxError, UnsupportedError
from agentrun.sandbox.boxes.workspace import FOLDER
from agentrun.sandbox.events import is_exit
from agentrun.sandbox.extensions import START
from agentrun.sandbox.process_handle import ProcessHandle

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

PROTOCOL_VERSION = "2025-06-18"
CLIENT = {"name": "agentrun", "version": "0.1.0"}
METHOD_NOT_FOUND = -32601
_SETTINGS = {"command", "args", "env", "cwd", "type", "transport"}

Message = dict[str, Any]


class McpServer:
    """A server that runs; `tools` are those that it told of last, by name."""

    def __init__(self, name: str, sandbox: CodeInterpreterSandbox, process: ProcessHandle, timeout: float) -> None:
        self.name = name
        self.tools: dict[str, Mapping[str, Any]] = {}
        self._calls = sandbox.data_api
        self._process = process
        self._timeout = timeout

    @classmethod
    async def start(
        cls, name: str, settings: Mapping[str, Any], sandbox: CodeInterpreterSandbox, timeout: float
    ) -> McpServer:
        """Start a server and make its acquaintance; raises SandboxError when it ends or does not answer."""
        argv = _command(name, settings)
        folder = str(settings.get("cwd") or FOLDER)
        process = await sandbox.process.start_async(
            argv, folder, env=settings.get("env"), stdin=True, tag=f"mcp:{name}"
        )
        server = cls(name, sandbox, process, timeout)
        try:
            await server._initialize()
        except BaseException:
            await server.close()
            raise
        return server

    async def refresh(self) -> None:
        """Ask for its tools again."""
        tools: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while True:
            answer = await self._request("tools/list", {"cursor": cursor} if cursor else {})
            tools += answer.get("tools") or ()
            cursor = answer.get("nextCursor")
            if not cursor:
                break
        self.tools = {str(tool["name"]): tool for tool in tools}

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Message:
        """Call a tool; the server's own result, which may be an error."""
        return await self._request("tools/call", {"name": tool, "arguments": dict(arguments)})

    async def close(self) -> None:
        """End it; one that has ended already is no error."""
        with suppress(ClientError):
            await self._process.kill_async()

    async def _initialize(self) -> None:
        hello = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": CLIENT}
        await self._request("initialize", hello)
        await self._send({"method": "notifications/initialized"})
        await self.refresh()

    async def _send(self, message: Message) -> None:
        await self._process.write_async(json.dumps({"jsonrpc": "2.0", **message}) + "\n")

    async def _request(self, method: str, params: Mapping[str, Any]) -> Message:
        """The result of a request; raises SandboxError for an error, and when the server ends or stays silent."""
        request_id = uuid4().hex  # Told from everything that the server has ever written.
        body = await self._open()
        try:
            await self._ask({"id": request_id, "method": method, "params": dict(params)})
            return await self._answer_to(request_id, body)
        except RequestTimeoutError as error:
            raise self._problem(f"did not answer {method} within {self._timeout:g} s") from error
        finally:
            await body.close()

    async def _ask(self, message: Message) -> None:
        """Send a request; a server that does not read it any more says in its output why."""
        try:
            await self._send(message)
        except ClientError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise

    async def _open(self) -> ByteStream:
        # The last line of before is asked for again, in case that the answer comes before the reading begins.
        path, query = f"/processes/{segment(self._process.pid)}/output", {"follow": True, "tail": 1}
        return await self._calls.open("GET", path, query=query, timeout=self._timeout, extension=START)

    async def _answer_to(self, request_id: str, body: ByteStream) -> Message:
        async with aclosing(self._messages(body)) as messages:
            async for message in messages:
                if "method" in message:
                    await self._reply(message)
                elif message.get("id") == request_id:
                    return self._result(message)
        raise self._problem("stopped writing")

    async def _messages(self, body: ByteStream) -> AsyncGenerator[Message, None]:
        deadline = time.monotonic() + self._timeout
        texts = {"stdout": "", "stderr": ""}
        async with aclosing(self._calls.entries(body, is_exit)) as entries:
            async for entry in entries:
                if is_exit(entry):
                    raise self._problem(f"ended with exit code {entry.get('exitCode')}: {texts['stderr'][-500:]}")
                texts[str(entry.get("type"))] += str(entry.get("text") or "")
                *lines, texts["stdout"] = texts["stdout"].split("\n")
                for message in map(_message, lines):
                    if message is not None:
                        yield message
                if time.monotonic() > deadline:
                    raise RequestTimeoutError(f"MCP server {self.name!r} is busy with other things")

    async def _reply(self, message: Message) -> None:
        """Answer what the server asks; it is told that nothing but ping is served."""
        if "id" not in message:
            return
        refusal = {"error": {"code": METHOD_NOT_FOUND, "message": f"{message['method']} is not offered"}}
        await self._send({"id": message["id"], **({"result": {}} if message["method"] == "ping" else refusal)})

    def _result(self, message: Message) -> Message:
        if "error" in message:
            raise self._problem(f"refused: {message['error'].get('message')}")
        return cast("Message", message.get("result") or {})

    def _problem(self, what: str) -> SandboxError:
        return SandboxError(f"MCP server {self.name!r} {what}")


def _command(name: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """What to start; raises UnsupportedError for servers that are reached by a URL."""
    if "url" in settings:
        raise UnsupportedError(
            501,
            f"MCP server {name!r} is reached by a URL, and a box runs its servers inside the sandbox",
            hint='Give a "command" that the sandbox can start, or connect to the URL with an MCP client of your own',
        )
    unknown = sorted(settings.keys() - _SETTINGS)
    if unknown or not settings.get("command"):
        what = f"has no setting {unknown[0]!r}" if unknown else "needs a command"
        hint = 'It takes "command", "args", "env" and "cwd"'
        raise InvalidInputError(f"MCP server {name!r} {what}", field="server_configs", hint=hint)
    return [str(settings["command"]), *map(str, settings.get("args") or ())]


def _message(line: str) -> Message | None:
    """The message on a line of stdout; None for what a server prints besides."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return cast("Message", message) if isinstance(message, dict) else None
