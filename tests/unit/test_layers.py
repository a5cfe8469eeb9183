"""What the layer contracts in pyproject.toml cannot say: no import cycles, and libraries that stay in their place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import agentrun

ROOT = Path(agentrun.__file__).parent.parent
# Who may know a library: the emulator is a program of its own, and `testing` plugs into what it tests.
HOMES = {
    "httpx": ("agentrun._core", "agentrun.emulator", "agentrun.testing"),
    "httpx2": ("agentrun._core",),
    "mcp": ("agentrun.toolset.mcp.library", "agentrun.server.protocols.mcp.library"),
    "jwt": ("agentrun.emulator.inbound.token_check",),
    "tenacity": ("agentrun._core",),
    "alibabacloud_credentials": ("agentrun._core",),
    "typer": ("agentrun.cli",),
    "fastapi": ("agentrun.server", "agentrun.deploy.source"),
    "starlette": ("agentrun.emulator", "agentrun.server", "agentrun.testing"),
    "uvicorn": ("agentrun.deploy", "agentrun.emulator", "agentrun.gateway.serving", "agentrun.server"),
    "websockets": ("agentrun._core", "agentrun.emulator"),
    "docker": ("agentrun.emulator.backends.docker",),
    "jupyter_client": ("agentrun.emulator.guest",),
    "redis": (
        "agentrun._serving.redis_client",
        "agentrun.gateway.state.redis",
        "agentrun.server.runs",
        "agentrun.server.services.storage.redis",
    ),
    "celery": ("agentrun.server.runs.celery_tasks",),
    "kombu": ("agentrun.server.runs.celery_tasks",),
    "sqlalchemy": ("agentrun.server.services.storage.sql",),
    "opentelemetry": (
        "agentrun._core.open_span",
        "agentrun._core.tracing",
        "agentrun._serving.spans",
        "agentrun.gateway.observability.opentelemetry",
        "agentrun.server.tracing",
    ),
    "agentscope": (
        "agentrun.integration.agentscope",
        "agentrun.server.frameworks.agentscope",
        "agentrun.server.services.agentscope_v1",
    ),
    "agents": ("agentrun.integration.openai_agents",),
    "agno": ("agentrun.server.frameworks.agno",),
    "anthropic": ("agentrun.integration.anthropic",),
    "autogen_agentchat": ("agentrun.integration.autogen", "agentrun.server.frameworks.autogen"),
    "autogen_core": ("agentrun.integration.autogen", "agentrun.server.frameworks.autogen"),
    "autogen_ext": ("agentrun.integration.autogen",),
    "crewai": ("agentrun.integration.crewai",),
    "deepagents": ("agentrun.integration.deepagents",),
    "google": ("agentrun.integration.google_adk",),
    "langchain_core": (
        "agentrun.integration.langchain",
        "agentrun.server.frameworks.langchain",
        "agentrun.server.services.langchain",
        "agentrun.server.services.langgraph",
    ),
    "langchain_openai": ("agentrun.integration.langchain",),
    "langgraph": (
        "agentrun.integration.langchain",
        "agentrun.integration.langgraph",
        "agentrun.server.services.langgraph",
    ),
    "llama_index": ("agentrun.integration.llama_index",),
    "pydantic_ai": ("agentrun.integration.pydantic_ai", "agentrun.server.frameworks.pydantic_ai"),
    "smolagents": ("agentrun.integration.smolagents",),
    "jsonschema": ("agentrun.emulator", "agentrun.toolset"),
    "referencing": ("agentrun.emulator", "agentrun.toolset"),
    "yaml": ("agentrun._core.yaml_text", "agentrun.toolset"),
    "IPython": ("agentrun.emulator.guest.workers",),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = sorted(Path(agentrun.__file__).parent.rglob("*.py"))
MODULES = {module_name(path): ast.parse(path.read_text()) for path in SOURCES}


def imports_at_load(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is loaded: not those in functions, nor those for type checkers."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from imports_at_load([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from imports_at_load([*node.body, *node.orelse, *node.finalbody])


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Absolute dotted names: `from a import b` is `a.b`, which may be a module or something in one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def libraries(tree: ast.Module) -> set[str]:
    """The first names of everything a module imports, wherever in it; also by `import_module("name")`."""
    names = {
        name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in imported_names(node)
    }
    called = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
    return {name.partition(".")[0] for name in names | called}


def module_of(name: str) -> str | None:
    """The module of the package that holds a dotted name, None when it is somebody else's."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def dependencies(tree: ast.Module) -> set[str]:
    names = [name for node in imports_at_load(tree.body) for name in imported_names(node)]
    return {module for name in names if (module := module_of(name))}


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others() -> None:
    assert find_cycle({module: dependencies(tree) - {module} for module, tree in MODULES.items()}) == []


def test_a_cycle_is_found() -> None:
    assert set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


@cache
def uses() -> dict[str, set[str]]:
    """What each module imports; found once for all libraries, because that walks through the whole package."""
    return {module: libraries(tree) for module, tree in MODULES.items()}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_stays_where_it_belongs(library: str) -> None:
    users = [module for module, used in uses().items() if library in used]
    assert [module for module in users if not module.startswith(HOMES[library])] == []


def test_a_library_is_found_however_it_is_imported() -> None:
    tree = ast.parse("import a.b\ndef late():\n    from c import d\n    import_module('e.f')\n    import_module(g)")
    assert libraries(tree) == {"a", "c", "e"}
