"""What travels about tool sets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import Field

from agentrun._core.model import Model, PageableInput, UpdateInput, wire_name


class SchemaType(str, Enum):
    """What describes the tools of a set."""

    MCP = "MCP"
    OpenAPI = "OpenAPI"


class ToolSetStatusOutputsUrls(Model):
    """Where an OpenAPI tool set is called."""

    internet_url: str | None = None
    intranet_url: str | None = None


class MCPServerConfig(Model):
    """Where the MCP server of a tool set is."""

    headers: dict[str, str] | None = Field(default=None, repr=False)
    transport_type: str | None = None
    # The service's newer name of it.
    transport: str | None = None
    url: str | None = None


class ToolMeta(Model):
    """One tool of an MCP server."""

    description: str | None = None
    input_schema: dict[str, Any] | None = None
    name: str | None = None


class OpenAPIToolMeta(Model):
    """One operation of an OpenAPI document."""

    method: str | None = None
    path: str | None = None
    tool_id: str | None = None
    tool_name: str | None = None


class ToolSetStatusOutputs(Model):
    """What the service made of a tool set."""

    function_arn: str | None = None
    mcp_server_config: MCPServerConfig | None = None
    open_api_tools: list[OpenAPIToolMeta] | None = None
    tools: list[ToolMeta] | None = None
    urls: ToolSetStatusOutputsUrls | None = None


class APIKeyAuthParameter(Model):
    """A key that calls carry, in a header or in the query."""

    encrypted: bool | None = None
    in_: str | None = wire_name("in")
    key: str | None = None
    value: str | None = Field(default=None, repr=False)


class AuthorizationParameters(Model):
    """How calls prove who they are."""

    api_key_parameter: APIKeyAuthParameter | None = None


class Authorization(Model):
    """Whether, and how, calls prove who they are; `type` is `APIKey` or `None`."""

    parameters: AuthorizationParameters | None = None
    type: str | None = None

    @classmethod
    def api_key(cls, key: str, value: str, in_: str = "header") -> Authorization:
        """Calls carry a key in this header, or with `in_="query"` in this parameter of the query."""
        parameter = APIKeyAuthParameter(in_=in_, key=key, value=value)
        return cls(type="APIKey", parameters=AuthorizationParameters(api_key_parameter=parameter))


class ToolSetSchema(Model):
    """The description of the tools: `detail` is the text of an OpenAPI document, or the settings of MCP servers."""

    detail: str | None = None
    type: SchemaType | None = None


class ToolSetSpec(Model):
    """What a tool set is to be."""

    auth_config: Authorization | None = None
    tool_schema: ToolSetSchema | None = wire_name("schema")

    @classmethod
    def openapi(cls, document: str, auth: Authorization | None = None) -> ToolSetSpec:
        """The operations of an OpenAPI document, given as its JSON or YAML text."""
        return cls(tool_schema=ToolSetSchema(type=SchemaType.OpenAPI, detail=document), auth_config=auth)

    @classmethod
    def mcp(cls, settings: str, auth: Authorization | None = None) -> ToolSetSpec:
        """The tools of an MCP server, given as the JSON text `{"mcpServers": {name: {"url": ...}}}`."""
        return cls(tool_schema=ToolSetSchema(type=SchemaType.MCP, detail=settings), auth_config=auth)


class ToolSetStatus(Model):
    """How far the service is."""

    observed_generation: int | None = None
    observed_time: str | None = None
    outputs: ToolSetStatusOutputs | None = None
    phase: str | None = None


class ToolSetCreateInput(Model):
    """A tool set to create."""

    name: str
    spec: ToolSetSpec
    description: str | None = None
    labels: dict[str, str] | None = None


class ToolSetUpdateInput(UpdateInput):
    """What to change of a tool set; what is None stays."""

    spec: ToolSetSpec | None = None
    description: str | None = None
    labels: dict[str, str] | None = None


class ToolSetListInput(PageableInput):
    """Which tool sets: those with a word in their name or description, those with all of these labels (`key=value`)."""

    keyword: str | None = None
    label_selector: list[str] | None = None


def headers_and_query(auth: Authorization | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The headers and the parameters of the query that calls carry to prove who they are."""
    parameter = auth.parameters.api_key_parameter if auth and auth.parameters else None
    if parameter is None or not parameter.key or parameter.value is None:
        return {}, {}
    carried = {parameter.key: parameter.value}
    return ({}, carried) if (parameter.in_ or "").lower() == "query" else (carried, {})
