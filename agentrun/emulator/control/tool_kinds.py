"""Which kinds of tools there are, and what each must be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentrun._core.values import is_object, section
from agentrun.emulator.bridge.plan import Rules
from agentrun.emulator.control.tool_specs import read_mcp_server, read_openapi, server_url
from agentrun.emulator.wire.envelope import invalid, unsupported

MCP, FUNCTIONCALL, SKILL = "MCP", "FUNCTIONCALL", "SKILL"
MCP_REMOTE, MCP_LOCAL, MCP_BUNDLE = "MCP_REMOTE", "MCP_LOCAL", "MCP_BUNDLE"
CODE_PACKAGE, OPENAPI_IMPORT = "CODE_PACKAGE", "OPENAPI_IMPORT"
METHODS = {
    MCP: (MCP_REMOTE, MCP_LOCAL, MCP_BUNDLE, CODE_PACKAGE, OPENAPI_IMPORT),
    FUNCTIONCALL: (OPENAPI_IMPORT, CODE_PACKAGE),
    SKILL: (CODE_PACKAGE,),
}
AFFINITIES = ("MCP_STREAMABLE", "MCP_SSE", "NONE")
SPEC = "protocolSpec"
_RULES = {
    "sessionIdleTimeoutInSeconds": "idle",
    "sessionTTLInSeconds": "life",
    "sessionConcurrencyPerInstance": "most",
}


def is_hosted(document: Mapping[str, Any]) -> bool:
    """Whether the emulator runs a process for a tool."""
    return document["toolType"] != SKILL and document["createMethod"] in (MCP_LOCAL, MCP_BUNDLE, CODE_PACKAGE)


def needs_code(document: Mapping[str, Any]) -> bool:
    """Whether a tool is a package of code."""
    return document["createMethod"] in (MCP_BUNDLE, CODE_PACKAGE)


def check(document: Mapping[str, Any]) -> None:
    """Refuse a tool that cannot work. Raises ServiceError (400, 501)."""
    kind, method = document["toolType"], document["createMethod"]
    if kind not in METHODS:
        raise invalid(f"toolType must be one of {', '.join(METHODS)}, not {kind}")
    if method not in METHODS[kind]:
        raise invalid(f"createMethod must be one of {', '.join(METHODS[kind])} for a {kind} tool, not {method}")
    _check_parts(document)
    if kind == MCP:
        _check_mcp(document, method)
    elif section(document, "mcpConfig"):
        raise invalid(f"mcpConfig is for {MCP} tools, not for {kind}")
    elif kind == FUNCTIONCALL:
        _check_function(document, method)


def _check_parts(document: Mapping[str, Any]) -> None:
    if document.get("artifactType") == "Container" or document.get("containerConfiguration"):
        raise unsupported("containerConfiguration: the emulator runs tools from code, not from container images")
    for name in ("nasConfig", "ossMountConfig"):
        if section(document, name).get("mountPoints"):
            raise unsupported(f"{name}: the emulator cannot mount network storage")
    port = document.get("port")
    if port is not None and not 1 <= port <= 65535:
        raise invalid(f"port must be from 1 to 65535, not {port}")


def _check_mcp(document: Mapping[str, Any], method: str) -> None:
    _check_config(section(document, "mcpConfig"))
    if method == OPENAPI_IMPORT:
        raise unsupported("the emulator makes no MCP server from an OpenAPI document: use a FUNCTIONCALL tool")
    if method == MCP_REMOTE:
        if not read_mcp_server(document.get(SPEC), SPEC).url:
            raise invalid(f"{SPEC} of an {MCP_REMOTE} tool needs the url of its server")
        return
    if method == MCP_LOCAL and not read_mcp_server(document.get(SPEC), SPEC).command:
        raise invalid(f"{SPEC} of an {MCP_LOCAL} tool needs the command of its server")
    if document.get(SPEC):
        read_mcp_server(document[SPEC], SPEC)
    if document.get("credentialName") and not document.get("port"):
        raise unsupported(
            "credentialName: a server that speaks on its stdin has no request to put a credential into; "
            "give it what it needs in environmentVariables"
        )


def _check_config(config: Mapping[str, Any]) -> None:
    if section(config, "mcpProxyConfiguration").get("hooks"):
        raise unsupported("mcpConfig.mcpProxyConfiguration.hooks: what they are sent is not public, so none is called")
    if section(config, "boundConfiguration").get("boundTools"):
        raise unsupported("mcpConfig.boundConfiguration: the emulator makes no MCP tools out of HTTP APIs")
    affinity = config.get("sessionAffinity")
    if affinity is not None and affinity not in AFFINITIES:
        raise invalid(f"mcpConfig.sessionAffinity must be one of {', '.join(AFFINITIES)}, not {affinity}")
    session_rules(config)


def session_rules(config: Mapping[str, Any]) -> Rules:
    """How long sessions last, and how many there may be. Raises ServiceError (400, 501)."""
    where, text = "mcpConfig.sessionAffinityConfig", config.get("sessionAffinityConfig")
    if not text:
        return Rules()
    try:
        given = json.loads(text)
    except ValueError as error:
        raise invalid(f"{where} must be a JSON object: {error}") from error
    if not is_object(given):
        raise invalid(f"{where} must be a JSON object")
    for name, value in given.items():
        if name not in _RULES:
            raise unsupported(f"{where}.{name}: the emulator heeds {', '.join(_RULES)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise invalid(f"{where}.{name} must be a whole number from 1")
    return Rules(**{_RULES[name]: value for name, value in given.items()})


def _check_function(document: Mapping[str, Any], method: str) -> None:
    if method == OPENAPI_IMPORT:
        server_url(read_openapi(document.get(SPEC), SPEC), SPEC)
        return
    if document.get(SPEC):
        read_openapi(document[SPEC], SPEC)
    if not document.get("port"):
        raise invalid(f"port is required for a {FUNCTIONCALL} tool from a {CODE_PACKAGE}: where its server listens")
    if not section(document, "codeConfiguration").get("command"):
        raise invalid("codeConfiguration.command is required: the program to start and its arguments")
