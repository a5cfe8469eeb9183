"""The public names: every one resolves, type checkers see the same ones, and importing them has no side effect."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import pytest

import agentrun

PACKAGE = Path(agentrun.__file__).parent
PUBLIC_MODULES = [
    f"agentrun.{module.name}"
    for module in pkgutil.iter_modules([str(PACKAGE)])
    if not module.name.startswith("_") and hasattr(import_module(f"agentrun.{module.name}"), "__all__")
]

# Reports what happened while `import agentrun` ran, as JSON; only what the audit hook sees counts as done.
WATCHED_IMPORT = """
import json, logging, os, sys, sysconfig, threading
prefixes = tuple({os.path.realpath(path) for path in sysconfig.get_paths().values()}) + (sys.argv[1],)
modules, environment, events = set(sys.modules), dict(os.environ), []

def watch(event, arguments):
    if event == "open" and not os.path.realpath(str(arguments[0])).startswith(prefixes):
        events.append(f"open {arguments[0]}")
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.fork", "os.mkdir", "os.remove")):
        events.append(event)

sys.addaudithook(watch)
import agentrun
seen = list(events)
print(json.dumps({
    "events": seen,
    "modules": sorted({name.partition(".")[0] for name in set(sys.modules) - modules}),
    "log handlers": len(logging.root.handlers),
    "threads": threading.active_count(),
    "environment changed": environment != dict(os.environ),
}))
"""


def test_every_public_name_resolves() -> None:
    missing = [name for name in agentrun.__all__ if not hasattr(agentrun, name)]
    assert not missing
    assert len(set(agentrun.__all__)) == len(agentrun.__all__)
    assert set(agentrun.__all__) <= set(dir(agentrun))


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_every_name_of_a_public_module_resolves(module: str) -> None:
    loaded = import_module(module)
    assert not [name for name in loaded.__all__ if not hasattr(loaded, name)]
    assert len(set(loaded.__all__)) == len(loaded.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Sandbocks"):
        getattr(agentrun, "Sandbocks")  # noqa: B009  # The constant name is the point.


def names_for_type_checkers() -> set[str]:
    """What the `if TYPE_CHECKING:` block of `agentrun/__init__.py` imports, star imports expanded."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    names: set[str] = set()
    for node in (statement for block in blocks for statement in block.body):
        assert isinstance(node, ast.ImportFrom)
        starred: list[str] = import_module(str(node.module)).__all__ if node.names[0].name == "*" else []
        names.update(starred or (alias.asname or alias.name for alias in node.names))
    return names


def test_type_checkers_see_the_same_names() -> None:
    assert names_for_type_checkers() == set(agentrun.__all__) - {"__version__"}


def test_importing_loads_opens_prints_and_starts_nothing() -> None:
    # -B, because writing byte code on the first import is Python's doing and not ours.
    arguments = [sys.executable, "-I", "-B", "-c", WATCHED_IMPORT, str(PACKAGE)]
    finished = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert finished.stderr == ""
    report = json.loads(finished.stdout)
    loaded = set(report.pop("modules"))
    assert "agentrun" in loaded
    assert loaded <= {"agentrun", "__future__"} | set(sys.stdlib_module_names)
    assert report == {"events": [], "log handlers": 0, "threads": 1, "environment changed": False}


def test_types_ship_with_the_package() -> None:
    assert resources.files("agentrun").joinpath("py.typed").is_file()
