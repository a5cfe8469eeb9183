"""Tools of the hub with what the platform has for them: keys in credentials, models that embed."""

from __future__ import annotations

from typing import Any

from agentrun.config import Config
from agentrun.credential import Credential, CredentialConfig
from agentrun.emulator import Emulator
from agentrun.errors import CredentialError, ResourceNotExistError
from agentrun.integration import CommonToolSet, EmbeddingIndex, Tool, hub
from agentrun.integration.hub.web_search import Tavily
from agentrun.model import ModelService, ProviderSettings
from tests.resources.modes import Mode
from tests.unit.integration.studio import KEY, FakeStudio
from tests.unit.servers import answer, serving


def speaking(name: str, url: str, config: Config) -> Tool:
    given = {"credential_name": name, "base_url": url, "config": config, "timeout": 20.0}
    return hub.get("model_studio.speech", **given).tools()[0]


def test_a_key_comes_from_a_credential(call: Mode, config: Config) -> None:
    key = CredentialConfig.outbound_tool_api_key(KEY)
    made = Credential.create(credential_name="studio", credential_config=key, config=config)
    studio = FakeStudio()
    path = "/services/aigc/multimodal-generation/generation"
    body = {"model": "qwen-tts", "input": {"text": "hi", "voice": "Cherry"}, "parameters": {}}
    studio.expect("POST", path, body, {"output": {"audio": {"url": "https://x/s"}}})
    with serving(studio.behave()) as server:
        speak = speaking("studio", server.url, config)
        assert call(speak, "call", text="hi")["result"] == "https://x/s"
        assert studio.done()
        made.update(enabled=False)
        refused = call(speaking("studio", server.url, config), "outcome", {"text": "hi"})
        missing = call(speaking("nowhere", server.url, config), "outcome", {"text": "hi"})
    assert isinstance(refused.error, CredentialError)
    assert "disabled" in refused.text
    assert isinstance(missing.error, ResourceNotExistError)
    assert not any(KEY in text for text in (repr(speak), repr(speak.perform), refused.text, missing.text))


def test_the_key_of_a_search_comes_from_a_credential(call: Mode, config: Config) -> None:
    key = CredentialConfig.outbound_tool_api_key("canary-77")
    Credential.create(credential_name="search", credential_config=key, config=config)
    with serving(answer({"results": []})) as server:
        provider = Tavily(credential_name="search", base_url=server.url, config=config)
        assert call(hub.get("web_search", provider=provider).tools()[0], "call", query="x") == []
        assert server.requests[0].headers["authorization"] == "Bearer canary-77"


def test_a_model_service_finds_tools_by_meaning(call: Mode, config: Config, emulator: Emulator) -> None:
    async def perform(arguments: dict[str, Any]) -> Any:
        return arguments

    service = ModelService.create(
        model_service_name="embeds",
        model_type="text-embedding",
        provider="openai",
        provider_settings=ProviderSettings(base_url=f"{emulator.url}/scripted/v1", api_key="any", model_names=["m-1"]),
        config=config,
    )
    tools = [Tool(name, f"What {name} is for", perform=perform) for name in ("alpha", "beta", "gamma")]
    index = EmbeddingIndex(CommonToolSet(tools), service)
    found = call(index, "select", "What beta is for", 2)
    assert len(found) == 2
    assert {tool.name for tool in found} <= {tool.name for tool in tools}
    assert len(index.vectors) == 3
