"""Where the code of an application is, so that another process can load it: `FILE:NAME` or `MODULE:NAME`."""

from __future__ import annotations

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from agentrun.errors import InvalidInputError

if TYPE_CHECKING:
    from fastapi import FastAPI

_DEFAULT_NAMES = ("app", "agent_app", "application", "server", "agent", "invoke_agent")


def source_of(app: Any) -> str:
    """The file in which an application is a global variable, and its name; raises InvalidInputError."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        for name, value in list(vars(module).items()):
            if value is app and file:
                return f"{Path(file).resolve()}:{name}"
    raise InvalidInputError(
        "Another process cannot load an application that is no global variable of a module",
        field="app",
        hint="Assign it at the top of a file, or give entrypoint='FILE:NAME'",
    )


def load(source: str) -> Any:
    """The application of a source; without a name it is what is called app, or the only one there is.

    Raises InvalidInputError; what the module itself raises comes as it is.
    """
    place, _, name = source.partition(":")
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    if name:
        found = getattr(module, name, None)
        if found is None:
            raise InvalidInputError(f"{place} has no application {name!r}", field="source")
        return found
    return _only(module, place)


def application_of(found: Any) -> FastAPI:
    """What serves this: itself if it is an application, its own if it is an AgentRunServer, else one made for it."""
    from agentrun.server import AgentRunServer  # Who deploys an AgentApp has it already.

    if _is_application(found):
        application: FastAPI = found
        return application
    server = found if isinstance(found, AgentRunServer) else AgentRunServer(found)
    return server.as_fastapi_app()


def _module(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise InvalidInputError(
            f"There is no module {name!r}", field="source", hint="Give a file, as in agent.py:app, or a module"
        ) from None


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidInputError(f"There is no file {path}", field="source")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None, "a name that ends in .py has a loader"
    assert spec.loader is not None, "a name that ends in .py has a loader"
    module = module_from_spec(spec)
    # As if the file were run: what lies beside it can be imported.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _only(module: ModuleType, place: str) -> Any:
    for name in _DEFAULT_NAMES:
        if (found := getattr(module, name, None)) is not None:
            return found
    served = [value for value in vars(module).values() if _is_application(value)]
    if len(served) == 1:
        return served[0]
    raise InvalidInputError(
        f"{place} has {len(served) or 'no'} applications", field="source", hint=f"Say which one, as in {place}:app"
    )


def _is_application(value: Any) -> bool:
    """Whether this is an application of ours, or another FastAPI application."""
    return any(kind.__module__.partition(".")[0] == "fastapi" for kind in type(value).__mro__)
