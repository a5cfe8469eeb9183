"""Names that the official client has exist here too, with its parameters in its order.

`official_names.json` lists its public modules, classes, methods, fields and enum members. What is left out stands in
`OMITTED` with the reason, and an entry there that is not left out any more fails.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

NAMES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("official_names.json").read_text())

# Modules that hold the same thing under a shorter path.
HOMES = {
    "agentrun.agent_runtime.api.control": ["agentrun.agent_runtime.control"],
    "agentrun.agent_runtime.api.data": ["agentrun.agent_runtime.data"],
    "agentrun.credential.api.control": ["agentrun.credential.control"],
    "agentrun.credential.model": ["agentrun.credential.model", "agentrun.credential.credential"],
    "agentrun.knowledgebase.api.control": ["agentrun.knowledgebase.control"],
    "agentrun.knowledgebase.api.data": ["agentrun.knowledgebase"],
    "agentrun.knowledgebase.model": ["agentrun.knowledgebase.model", "agentrun.knowledgebase.knowledgebase"],
    "agentrun.model.api.control": ["agentrun.model.control"],
    "agentrun.model.api.data": ["agentrun.model.model", "agentrun.model.completion", "agentrun.model.data"],
    "agentrun.model.api.model_api": ["agentrun.model.model_api"],
    "agentrun.model.model": ["agentrun.model.model", "agentrun.model.policies"],
    "agentrun.sandbox.api.control": ["agentrun.sandbox.control"],
    "agentrun.sandbox.api.code_interpreter_data": ["agentrun.sandbox.data"],
    "agentrun.sandbox.api.sandbox_data": ["agentrun.sandbox.data"],
    "agentrun.tool.api.control": ["agentrun.tool.control"],
    "agentrun.tool.api.mcp": ["agentrun.toolset.mcp"],
    "agentrun.tool.api.openapi": ["agentrun.tool.openapi"],
    "agentrun.tool.model": ["agentrun.tool.model", "agentrun.toolset.schema"],
    "agentrun.toolset.api.control": ["agentrun.toolset.control"],
    "agentrun.toolset.api.mcp": ["agentrun.toolset.mcp"],
    "agentrun.toolset.api.openapi": ["agentrun.toolset.openapi"],
    "agentrun.toolset.model": ["agentrun.toolset.model", "agentrun.toolset.schema"],
    "agentrun.sandbox.model": ["agentrun.sandbox.model", "agentrun.sandbox.sandbox"],
}

BROWSER = "browsers, alone and in AllInOne sandboxes, arrive with the browser"
OF_A_BASE = "a field of knowledge bases, which a search of several does not have"
TOOLS_BY_NAME = "the tools are called by their names, and `sandbox_toolset` makes the set"
ADAPTERS = "an adapter is two functions here, `to_tool` and `to_model`"
NEVER_SENT = "the service has never been seen to send it"
OMITTED = {
    "agentrun.sandbox exports AioSandbox": BROWSER,
    "agentrun.sandbox exports BrowserSandbox": BROWSER,
    "agentrun.knowledgebase.api.data:*DataAPI.retrieve*": "filters have one name for all providers, metadata_filters",
    "agentrun.knowledgebase.model:RetrieveInput.knowledge_base_id": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.knowledge_base_name": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.provider": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.description": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.credential_name": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.created_at": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.last_updated_at": OF_A_BASE,
    "agentrun.knowledgebase.model:RetrieveInput.to_knowledge_base*": OF_A_BASE,
    "agentrun.integration.builtin.model model(*": "the keywords are written out",
    "agentrun.integration.builtin.sandbox:AioToolSet*": BROWSER,
    "agentrun.integration.builtin.sandbox:BrowserToolSet*": BROWSER,
    "agentrun.integration.builtin.sandbox:CodeInterpreterToolSet*": TOOLS_BY_NAME,
    "agentrun.integration.builtin.sandbox:SandboxToolSet.__init__*": TOOLS_BY_NAME,
    "agentrun.integration.utils.adapter*": ADAPTERS,
    "agentrun.integration.utils.canonical*": ADAPTERS,
    "agentrun.integration.utils.converter*": ADAPTERS,
    "agentrun.tool.model:ToolLogConfiguration.log_store": "the service calls it logstore",
    "agentrun.tool.tool:Tool.data_endpoint": NEVER_SENT,
    "agentrun.tool.tool:Tool.gpu": NEVER_SENT,
    "agentrun.tool.tool:Tool.internet_access": NEVER_SENT,
    "agentrun.tool.tool:Tool.network_config": "the service calls it networkConfiguration",
    "agentrun.tool.tool:Tool.protocol_type": NEVER_SENT,
    "agentrun.tool.tool:Tool.version_id": NEVER_SENT,
    "agentrun.model.api.model_api:ModelAPI.model_info*": "what is called directly has its URL and key already",
    "agentrun.utils.config get_env_*": "an inner helper; nothing of the platform",
    "agentrun.utils.exception:AgentRunError.kwargs_str*": "an inner helper of its message",
    "agentrun.utils.exception:AgentRunError.details_str*": "an inner helper of its message",
    "agentrun.utils.model:BaseModel.from_inner_object*": "there is no second client inside; `from_wire` reads answers",
    "agentrun.sandbox.model:TemplateInput.set_disk_size_default*": "a validator; nobody calls it",
    "agentrun.sandbox.model:TemplateInput.validate_template_constraints*": "a validator; nobody calls it",
}


class Fact(NamedTuple):
    """Something that the official client has; `kind` says how to look for it."""

    name: str
    module: str
    owner: str
    kind: str
    part: str
    expected: Any


def facts() -> Iterator[Fact]:
    for module, content in NAMES.items():
        exports: list[str] = [] if module.endswith(".api") else content.get("exports", [])
        for name in exports:
            yield Fact(f"{module} exports {name}", module, "", "export", name, None)
        for name, parameters in content.get("functions", {}).items():
            yield Fact(f"{module} {name}{tuple(parameters)}", module, "", "method", name, parameters)
        for owner, parts in content.get("classes", {}).items():
            yield Fact(f"{module}:{owner}", module, owner, "class", owner, None)
            yield from class_facts(module, owner, parts)


def class_facts(module: str, owner: str, parts: dict[str, Any]) -> Iterator[Fact]:
    prefix = f"{module}:{owner}"
    for name in parts.get("fields", []):
        yield Fact(f"{prefix}.{name}", module, owner, "field", name, None)
    for name, value in parts.get("members", {}).items():
        yield Fact(f"{prefix}.{name}={value}", module, owner, "member", name, value)
    for name in parts.get("properties", []):
        yield Fact(f"{prefix}.{name}", module, owner, "property", name, None)
    for name, parameters in parts.get("methods", {}).items():
        yield Fact(f"{prefix}.{name}{tuple(parameters)}", module, owner, "method", name, parameters)


FACTS = list(facts())


def homes(module: str) -> list[Any]:
    return [import_module(name) for name in HOMES.get(module, [module])]


def found_owner(fact: Fact) -> Any:
    """The module or the class that must have the part."""
    if not fact.owner:
        return homes(fact.module)[0]
    return next(getattr(home, fact.owner) for home in homes(fact.module) if hasattr(home, fact.owner))


def has_field(owner: Any, name: str) -> bool:
    if isinstance(inspect.getattr_static(owner, name, None), property):
        return True
    return any(name in inspect.get_annotations(base) for base in owner.__mro__)


def takes(function: Any, official: list[str]) -> bool:
    """Whether the parameters are the official ones in their order, followed by nothing that must be given."""
    given = [each for name, each in inspect.signature(function).parameters.items() if name not in ("self", "cls")]
    names = [each.name for each in given if each.kind is not inspect.Parameter.VAR_KEYWORD]
    wanted = [name.lstrip("*") for name in official if not name.startswith("**")]
    if any(name.startswith("**") for name in official) and len(names) == len(given):
        return False
    more = [each for each in given if each.name not in wanted and each.kind is not inspect.Parameter.VAR_KEYWORD]
    return names[: len(wanted)] == wanted and all(each.default is not inspect.Parameter.empty for each in more)


def holds(fact: Fact) -> bool:
    try:
        owner = found_owner(fact)
        if fact.kind == "class":
            return True
        if fact.kind == "field":
            return has_field(owner, fact.part)
        found = getattr(owner, fact.part)
    except (AttributeError, ImportError, StopIteration):
        return False
    if fact.kind == "member":
        return bool(found.value == fact.expected)
    return takes(found, fact.expected) if fact.kind == "method" else True


def reasons(fact: Fact) -> list[str]:
    return [pattern for pattern in OMITTED if fnmatch(fact.name, pattern)]


def test_the_list_is_read() -> None:
    assert len(FACTS) > 900
    assert {fact.kind for fact in FACTS} == {"export", "class", "field", "member", "property", "method"}


def test_every_official_name_is_here() -> None:
    assert [fact.name for fact in FACTS if not reasons(fact) and not holds(fact)] == []


@pytest.mark.parametrize("pattern", OMITTED)
def test_what_is_omitted_is_missing(pattern: str) -> None:
    matching = [fact for fact in FACTS if fnmatch(fact.name, pattern)]
    assert matching
    assert not all(holds(fact) for fact in matching)


def test_a_missing_name_is_found() -> None:
    assert not holds(Fact("", "agentrun.sandbox.sandbox", "Sandbox", "method", "create", ["template_name"]))
    assert not holds(Fact("", "agentrun.sandbox.sandbox", "Sandbox", "field", "nope", None))
    assert not holds(Fact("", "agentrun.sandbox.sandbox", "Nope", "class", "Nope", None))
