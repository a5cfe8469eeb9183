"""The processes of tools: servers that listen on a port, and MCP servers behind a bridge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentrun._core.values import is_list, is_object, section
from agentrun.emulator.backends.base import Backend, Limits, ServiceSpec
from agentrun.emulator.backends.process import host
from agentrun.emulator.backends.process.readiness import fetch
from agentrun.emulator.bridge.plan import PLAN, STATE
from agentrun.emulator.control.injections import Injections
from agentrun.emulator.control.tool_kinds import MCP_BUNDLE, SPEC, session_rules
from agentrun.emulator.control.tool_specs import McpServer, read_mcp_server
from agentrun.emulator.instances import Key, Processes
from agentrun.emulator.packages import Packages
from agentrun.emulator.store import Record
from agentrun.emulator.wire.envelope import invalid

MANIFEST = "manifest.json"
# Not `-m`, which would look for modules among the files of the tool first.
_BRIDGE = "import sys; sys.path.pop(0); from agentrun.emulator.bridge.__main__ import main; main()"


class ToolInstances(Processes):
    """Starts, finds and stops the processes of tools; `empty` is the folder of those that have no code."""

    noun, unavailable = "tool", "ERR_TOOL_UNAVAILABLE"

    def __init__(self, backend: Backend, injections: Injections, packages: Packages, empty: Path) -> None:
        super().__init__(backend, injections)
        self._packages = packages
        self._empty = empty

    async def trouble(self, key: Key) -> str | None:
        """Why the process of a tool is down, or why the server of its last session ended; None when all is well."""
        running = self.running(key)
        if running is None:
            return self.crash(key)
        try:
            status, body = await fetch(running.socket, STATE)
            state = json.loads(body) if status == 200 else None
        except (OSError, ValueError, LookupError):
            return None
        return state.get("crash") if is_object(state) else None

    def check_command(self, document: Mapping[str, Any]) -> None:
        """Refuse (400) a tool of which nobody knows how to start it."""
        self._server(document)

    def _spec(self, key: Key, record: Record) -> ServiceSpec:
        document = record.document
        server = self._server(document)
        port: int | None = document.get("port")
        injection, environment = self._inside(key, record)
        if port is None:
            rules = asdict(session_rules(section(document, "mcpConfig")))
            environment[PLAN] = json.dumps({"command": server.command, "rules": rules})
        else:
            environment = {"PORT": str(port), **environment}
        return ServiceSpec(
            service_id=record.id,
            folder=self._folder(document),
            command=server.command if port else (host.interpreter(), "-c", _BRIDGE),
            port=port,
            environment=environment,
            limits=Limits(memory=document.get("memory") or Limits.memory, cpu=document.get("cpu") or Limits.cpu),
            network=section(document, "networkConfiguration").get("networkMode") != "PRIVATE",
            injection=injection,
        )

    def _given(self, record: Record) -> Mapping[str, str]:
        return {**section(record.document, "environmentVariables"), **self._server(record.document).environment}

    def _folder(self, document: Mapping[str, Any]) -> Path:
        package = document.get("package")
        if package:
            return self._packages.folder(package)
        self._empty.mkdir(exist_ok=True)
        return self._empty

    def _server(self, document: Mapping[str, Any]) -> McpServer:
        """How a tool is started: as its specification, its code configuration or the manifest of its bundle say."""
        specified = read_mcp_server(document[SPEC], SPEC) if self._is_mcp_with_spec(document) else McpServer("")
        if specified.command:
            return specified
        command = section(document, "codeConfiguration").get("command")
        if command:
            return McpServer("", command=tuple(command), environment=specified.environment)
        if document["createMethod"] == MCP_BUNDLE:
            return _from_manifest(self._folder(document))
        raise invalid("codeConfiguration.command is required: the program to start and its arguments")

    @staticmethod
    def _is_mcp_with_spec(document: Mapping[str, Any]) -> bool:
        return document["toolType"] == "MCP" and bool(document.get(SPEC))


def _from_manifest(folder: Path) -> McpServer:
    """How the manifest of an MCP bundle (.mcpb) says that its server is started. Raises ServiceError (400)."""
    where = f"{MANIFEST} in codeConfiguration.zipFile"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise invalid(
            f"an MCP_BUNDLE tool needs a {MANIFEST} in its zip, a codeConfiguration.command, or a command in {SPEC}: "
            f"{error}"
        ) from error
    server = manifest.get("server") if is_object(manifest) else None
    config = server.get("mcp_config") if is_object(server) else None
    if not is_object(config) or not isinstance(config.get("command"), str):
        raise invalid(f"{where} has no server.mcp_config.command")
    arguments: Any = config.get("args") or []
    environment: Any = config.get("env") or {}
    if not is_list(arguments) or not is_object(environment):
        raise invalid(f"{where}: args must be a list and env an object")
    command = tuple(_filled(str(part), where) for part in (config["command"], *arguments))
    return McpServer("", command=command, environment={k: _filled(str(v), where) for k, v in environment.items()})


def _filled(text: str, where: str) -> str:
    """A text of a manifest with the bundle's folder filled in, in which the server starts."""
    filled = text.replace("${__dirname}", ".").replace("${/}", "/")
    if "${" in filled:
        raise invalid(f"{where}: the emulator fills in ${{__dirname}} only, not {filled}; set a command in {SPEC}")
    return filled
