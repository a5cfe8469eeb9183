"""What every example needs on the platform: a model, an API, an MCP server, a template for sandboxes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentrun import (
    ModelProxy,
    ModelService,
    ProviderSettings,
    ProxyConfig,
    ProxyConfigEndpoint,
    SandboxClient,
    Template,
    TemplateType,
)
from agentrun.tool import McpConfig, SessionAffinity, Tool, ToolCreateMethod, ToolType, mcp_servers
from agentrun.toolset import ToolSet, ToolSetSpec
from integrations.scenario.weather import document, weather_service

UNITS = Path(__file__).parent / "units.py"


@dataclass(frozen=True)
class Names:
    """What is on the platform, by its names."""

    model: str = "demo-model"
    weather: str = "demo-weather"
    units: str = "demo-units"
    sandboxes: str = "demo-python"


def sandboxes_alive() -> list[str]:
    """The sandboxes that there are now."""
    return [found.sandbox_id or "" for found in SandboxClient().list_sandboxes().sandboxes or ()]


@contextmanager
def platform() -> Iterator[Names]:
    """Everything that the examples need, deleted at the end."""
    names = Names()
    with weather_service() as url:
        made = [
            ModelService.create(
                model_service_name=names.model,
                model_type="llm",
                provider="openai",
                provider_settings=ProviderSettings(
                    base_url=os.environ["OPENAI_BASE_URL"],
                    api_key=os.environ["OPENAI_API_KEY"],
                    model_names=[os.environ.get("OPENAI_MODEL", "scripted")],
                ),
            ),
            ToolSet.create(name=names.weather, spec=ToolSetSpec.openapi(json.dumps(document(url)))),
            Tool.create(
                tool_name=names.units,
                tool_type=ToolType.MCP,
                create_method=ToolCreateMethod.MCP_LOCAL,
                protocol_spec=mcp_servers("units", command="python3", args=["-c", UNITS.read_text()]),
                mcp_config=McpConfig(session_affinity=SessionAffinity.STREAMABLE.value),
            ),
            Template.create(template_name=names.sandboxes, template_type=TemplateType.CODE_INTERPRETER),
        ]
        try:
            yield names
        finally:
            for resource in reversed(made):
                resource.delete()


@contextmanager
def signed_model(names: Names) -> Iterator[str]:
    """A proxy before the model that has no key, as its name: whoever asks it signs each request."""
    endpoint = ProxyConfigEndpoint(model_service_name=names.model, model_names=["scripted"])
    proxy = ModelProxy.create(model_proxy_name="demo-signed", proxy_config=ProxyConfig(endpoints=[endpoint]))
    try:
        proxy.wait_until_ready()
        assert "http_client" in proxy.openai_kwargs()
        yield "demo-signed"
    finally:
        proxy.delete()
