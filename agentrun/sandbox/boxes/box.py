"""What all boxes share: their life, their workspace, and the tools that are called by name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from agentrun._core.blocking import run
from agentrun._sandbox_tools.definitions import PYTHON
from agentrun._sandbox_tools.schema import object_schema, required
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    ClientError,
    InvalidInputError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    SandboxError,
    SandboxTerminatedError,
)
from agentrun.sandbox.boxes.mcp_servers import McpServer
from agentrun.sandbox.boxes.results import Result, failure, of_cell, of_command, of_mcp
from agentrun.sandbox.boxes.settings import checked_timeout, refuse_what_is_elsewhere
from agentrun.sandbox.boxes.workspace import FOLDER, WORKSPACE, WorkspaceFiles
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.model import TemplateType
from agentrun.sandbox.result import ExecutionResult
from agentrun.sandbox.sandbox import Sandbox
from agentrun.sandbox.template import Template
from agentrun.sandbox.toolset.once import Once
from agentrun.sandbox.toolset.tool import SandboxTool, is_for_the_caller
from agentrun.sandbox.toolset.toolset import started

if TYPE_CHECKING:
    from typing_extensions import Self

TEMPLATE_NAME = "agentrun-base"
CALL_SECONDS = 60
GENERIC = "generic"
_CODE = required("code", "string", "The code of the cell.")
_COMMAND = required("command", "string", "The command line.")


class Box:
    """A sandbox under the names that users of AgentScope Runtime know; use it as a context manager.

    It is created by `start` from the template `agentrun-base`, which is made when it is missing; with `sandbox_id` it
    is one that exists. `close` deletes it in both cases. A call may take `timeout` seconds. `base_url`, `bearer_token`
    and `workspace_dir` belong to another kind of server and are refused: `config` says where the platform is.
    """

    sandbox_type: ClassVar[str] = "base"

    def __init__(
        self,
        sandbox_id: str | None = None,
        base_url: str | None = None,
        bearer_token: str | None = None,
        sandbox_type: Any = None,
        workspace_dir: str | None = None,
        *,
        timeout: int = CALL_SECONDS,
        template_name: str = TEMPLATE_NAME,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
    ) -> None:
        refuse_what_is_elsewhere(self.sandbox_type, base_url, bearer_token, sandbox_type, workspace_dir)
        self.timeout = checked_timeout(timeout)
        self.template_name = template_name
        self.config = config
        self._given_id = sandbox_id
        self._idle_seconds = sandbox_idle_timeout_seconds
        self._prepare()

    def _prepare(self) -> None:
        self._sandbox = Once(self._open, "the box")
        self._context = Once(self._find_context, "the Python session")
        self._servers: dict[str, McpServer] = {}

    # Its life

    @property
    def sandbox(self) -> CodeInterpreterSandbox:
        """The sandbox itself, with everything that it can do; raises InvalidInputError before `start`."""
        if (sandbox := self._sandbox.value) is None:
            raise InvalidInputError("the sandbox is not started", hint="Use it in a `with` block, or call start()")
        return sandbox

    @property
    def sandbox_id(self) -> str | None:
        """The sandbox's id, None before `start`."""
        sandbox = self._sandbox.value
        return sandbox.sandbox_id if sandbox else self._given_id

    @property
    def fs(self) -> WorkspaceFiles:
        """The files of the workspace."""
        return WorkspaceFiles(self.sandbox)

    async def start_async(self) -> Self:
        """Create the sandbox, or connect to the one given; calling it twice is allowed."""
        await self._sandbox.get()
        return self

    def start(self) -> Self:
        """Create the sandbox, or connect to the one given; calling it twice is allowed."""
        return run(self.start_async())

    async def close_async(self) -> None:
        """Delete the sandbox; calling it twice is allowed, and it can be started again."""
        sandbox = await self._sandbox.close()
        self._prepare()
        if sandbox is not None:
            self._given_id = None
            await sandbox.delete_async()

    def close(self) -> None:
        """Delete the sandbox; calling it twice is allowed, and it can be started again."""
        run(self.close_async())

    async def get_info_async(self) -> dict[str, Any]:
        """What is known of the sandbox: id, type, state, template, workspace, times."""
        sandbox = await self.sandbox.get_async()
        return {
            "sandbox_id": sandbox.sandbox_id,
            "sandbox_type": self.sandbox_type,
            "state": str(getattr(sandbox.status, "value", sandbox.status)),
            "template_name": sandbox.template_name,
            "workspace": WORKSPACE,
            "timeout": self.timeout,
            "meta": dict(sandbox.metadata or {}),
            "created_at": sandbox.created_at,
            "expires_at": sandbox.expires_at,
        }

    def get_info(self) -> dict[str, Any]:
        """What is known of the sandbox: id, type, state, template, workspace, times."""
        return run(self.get_info_async())

    # Its tools

    async def list_tools_async(self, tool_type: str | None = None) -> dict[str, Any]:
        """The tools by group, or one group: `generic`, others of the box, and one for each MCP server."""
        for server in self._servers.values():
            await _refresh(server)
        groups = {name: {tool.name: _listed(tool) for tool in tools} for name, tools in self._groups().items()}
        groups |= {
            name: {tool: _listed_mcp(facts) for tool, facts in server.tools.items()}
            for name, server in self._servers.items()
        }
        return groups if tool_type is None else {tool_type: groups.get(tool_type, {})}

    def list_tools(self, tool_type: str | None = None) -> dict[str, Any]:
        """The tools by group, or one group: `generic`, others of the box, and one for each MCP server."""
        return run(self.list_tools_async(tool_type))

    async def call_tool_async(self, name: str, arguments: Mapping[str, Any] | None = None) -> Result:
        """Call a tool: `{"meta", "content": [{"type", "text", "annotations", "description"}], "isError"}`.

        `isError` is true for code and commands that failed, and for what the caller can put right. A sandbox that has
        ended or cannot be reached raises.
        """
        _ = self.sandbox  # Raises when it is not started, which no other call would put right.
        try:
            return await self._call(name, {} if arguments is None else arguments)
        except AgentRunError as error:
            if not _is_a_result(error):
                raise
            return failure(error)

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> Result:
        """Call a tool: `{"meta", "content": [{"type", "text", "annotations", "description"}], "isError"}`.

        `isError` is true for code and commands that failed, and for what the caller can put right. A sandbox that has
        ended or cannot be reached raises.
        """
        return run(self.call_tool_async(name, arguments))

    async def add_mcp_servers_async(self, server_configs: Mapping[str, Any], overwrite: bool = False) -> None:
        """Start MCP servers in the sandbox; their tools are then called like the others.

        `server_configs` is `{"mcpServers": {name: {"command", "args", "env", "cwd"}}}`. A name that is there already
        is left alone, or replaced with `overwrite`. Raises SandboxError when a server does not start. Needs the local
        platform; elsewhere it raises UnsupportedError.
        """
        sandbox = self.sandbox
        for name, settings in _servers(server_configs).items():
            if name in self._servers and not overwrite:
                continue
            server = await McpServer.start(name, settings, sandbox, self.timeout)
            before, self._servers[name] = self._servers.get(name), server
            if before is not None:
                await before.close()

    def add_mcp_servers(self, server_configs: Mapping[str, Any], overwrite: bool = False) -> None:
        """Start MCP servers in the sandbox; their tools are then called like the others.

        `server_configs` is `{"mcpServers": {name: {"command", "args", "env", "cwd"}}}`. A name that is there already
        is left alone, or replaced with `overwrite`. Raises SandboxError when a server does not start. Needs the local
        platform; elsewhere it raises UnsupportedError.
        """
        run(self.add_mcp_servers_async(server_configs, overwrite))

    def _groups(self) -> dict[str, list[SandboxTool]]:
        """The box's own tools by group; subclasses add theirs."""
        cell = SandboxTool(
            "run_ipython_cell", "Run a cell in an IPython session that lasts.", object_schema(_CODE), self._run_cell
        )
        command = SandboxTool(
            "run_shell_command", "Run a shell command in the workspace.", object_schema(_COMMAND), self._run_command
        )
        return {GENERIC: [cell, command]}

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Result:
        own = {tool.name: tool for tools in self._groups().values() for tool in tools}
        if name in own:
            return await own[name].perform(own[name].checked(arguments))
        for server in self._servers.values():
            if name in server.tools:
                return of_mcp(await server.call(name, arguments))
        known = [*own, *(tool for server in self._servers.values() for tool in server.tools)]
        raise InvalidInputError(f"there is no tool {name!r}", field="name", hint=f"There are {', '.join(known)}")

    async def _run_cell(self, arguments: dict[str, Any]) -> Result:
        context_id = await self._context.get()
        try:
            answer = await self.sandbox.data_api.execute_code_async(arguments["code"], context_id, timeout=self.timeout)
        except ClientError as error:
            if error.status_code == 404:
                self._context.discard(context_id)  # The session is gone, so the next cell gets a new one.
            raise
        return of_cell(ExecutionResult(answer))

    async def _run_command(self, arguments: dict[str, Any]) -> Result:
        return of_command(await self.sandbox.process.cmd_async(arguments["command"], FOLDER, self.timeout))

    # How it comes to what it needs

    async def _open(self) -> CodeInterpreterSandbox:
        if self._given_id:
            return await _with_workspace(
                await Sandbox.connect_async(self._given_id, TemplateType.CODE_INTERPRETER, self.config)
            )
        made = await started(await self._create())
        try:
            return await _with_workspace(made)
        except BaseException:
            with suppress(AgentRunError):
                await made.delete_async()
            raise

    async def _create(self) -> CodeInterpreterSandbox:
        try:
            return await self._create_from_template()
        except ResourceNotExistError:
            await self._make_template()
            return await self._create_from_template()

    async def _create_from_template(self) -> CodeInterpreterSandbox:
        return await Sandbox.create_async(
            TemplateType.CODE_INTERPRETER, self.template_name, self._idle_seconds, config=self.config
        )

    async def _make_template(self) -> None:
        kind = TemplateType.CODE_INTERPRETER
        try:
            await Template.create_async(template_name=self.template_name, template_type=kind, config=self.config)
        except ResourceAlreadyExistError:  # Somebody else was faster, and it may not be ready yet.
            there = await Template.get_by_name_async(self.template_name, self.config)
            await there.wait_until_ready_async(interval_seconds=1)

    async def _find_context(self) -> str:
        """The session of the workspace; one that an earlier holder of this sandbox left goes on."""
        api = self.sandbox.data_api
        for context in await api.list_contexts_async():
            if context.get("language") == PYTHON and str(context.get("cwd")).endswith(FOLDER):
                return str(context["id"])
        return str((await api.create_context_async(PYTHON, FOLDER))["id"])

    async def __aenter__(self) -> Self:
        return await self.start_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close_async()
        except AgentRunError:
            if error is None:
                raise

    def __enter__(self) -> Self:
        return run(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self.__aexit__(kind, error, trace))


async def _refresh(server: McpServer) -> None:
    """Ask a server for its tools; one that has ended or stays silent has none."""
    try:
        await server.refresh()
    except AgentRunError as error:
        if not _is_a_result(error):
            raise
        server.tools = {}


def _is_a_result(error: AgentRunError) -> bool:
    """Whether an error is about what was called, and not about the sandbox itself."""
    is_inside = isinstance(error, SandboxError) and not isinstance(error, SandboxTerminatedError)
    return is_inside or is_for_the_caller(error)


async def _with_workspace(sandbox: CodeInterpreterSandbox) -> CodeInterpreterSandbox:
    await sandbox.file_system.mkdir_async(FOLDER)
    return sandbox


def _listed(tool: SandboxTool) -> dict[str, Any]:
    return {"name": tool.name, "json_schema": tool.function_schema}


def _listed_mcp(tool: Mapping[str, Any]) -> dict[str, Any]:
    given: Mapping[str, Any] = tool.get("inputSchema") or {}
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "required": [], **given}
    function: dict[str, Any] = {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "parameters": parameters,
    }
    return {"name": tool["name"], "json_schema": {"type": "function", "function": function}}


def _servers(configs: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    servers = configs.get("mcpServers")
    if not isinstance(servers, Mapping):
        raise InvalidInputError("there are no servers", field="server_configs", hint='{"mcpServers": {"name": {...}}}')
    return cast("Mapping[str, Mapping[str, Any]]", servers)
