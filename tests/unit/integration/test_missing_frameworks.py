"""A framework that is not installed is told in one line, which names the extra."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("openai_agents", "agents", "openai_agents"),
        ("openai_agents_sandbox", "agents", "openai_agents"),
        ("pydantic_ai", "pydantic_ai", "pydantic_ai"),
        ("pydantic_ai_workspace", "pydantic_ai", "pydantic_ai"),
        ("llama_index", "llama_index", "llama_index"),
        ("agentscope", "agentscope", "agentscope"),
        ("agentscope_workspace", "agentscope", "agentscope"),
        ("smolagents", "smolagents", "smolagents"),
        ("crewai", "crewai", "crewai"),
        ("google_adk", "google", "google_adk"),
        ("google_adk_executor", "google", "google_adk"),
        ("autogen", "autogen_agentchat", "autogen"),
        ("autogen_executor", "autogen_agentchat", "autogen"),
    ],
)
def test_the_extra_is_named(module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"agentrun.integration.{module}", raising=False)
    told = rf"^agentrun.integration.{extra} needs {package}: pip install 'agentrun\[{extra}\]'$"
    with pytest.raises(ImportError, match=told):
        importlib.import_module(f"agentrun.integration.{module}")


@pytest.mark.parametrize("module", ["openai", "anthropic"])
def test_tools_in_the_format_of_an_api_need_no_package(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"agentrun.integration.{module}", raising=False)
    assert callable(importlib.import_module(f"agentrun.integration.{module}").sandbox_toolset)
