"""Services as the environment says: which back end, and its arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from agentrun.errors import InvalidInputError
from agentrun.server.services.memory import MemoryService
from agentrun.server.services.sandbox import SandboxService
from agentrun.server.services.session_history import SessionHistoryService
from agentrun.server.services.state import StateService

ServiceT = TypeVar("ServiceT")
Backend = Callable[..., Any]
_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ServiceFactory(Generic[ServiceT]):
    """Makes services of one kind: the back end is that of `<PREFIX>BACKEND`, its arguments `<PREFIX><BACKEND>_<NAME>`.

    What is given to `create` goes before the environment.
    """

    prefix: ClassVar[str] = ""
    default: ClassVar[str] = "in_memory"
    # What makes a service of each back end; a text is the name of a class of agentrun.server.services.
    backends: ClassVar[dict[str, Backend | str]] = {}

    def __init_subclass__(cls) -> None:
        cls.backends = dict(cls.backends)

    @classmethod
    def register_backend(cls, name: str, make: Backend) -> None:
        """Have services of this back end be made by a class or function."""
        cls.backends[name.lower()] = make

    @classmethod
    async def create(cls, backend_type: str | None = None, **kwargs: Any) -> ServiceT:
        """A service, which still has to be started; raises InvalidInputError for a back end or a value that is none."""
        name = (backend_type or os.environ.get(f"{cls.prefix}BACKEND") or cls.default).lower()
        make = cls._backend(name)
        prefix = f"{cls.prefix}{name.upper()}_"
        given = {
            variable.removeprefix(prefix).lower(): (variable, value)
            for variable, value in os.environ.items()
            if variable.startswith(prefix) and variable != f"{cls.prefix}BACKEND"
        }
        read = {field: _value(make, field, *told) for field, told in given.items() if field not in kwargs}
        return cast("ServiceT", make(**{**read, **kwargs}))

    @classmethod
    def _backend(cls, name: str) -> Backend:
        found = cls.backends.get(name)
        if found is None:
            raise InvalidInputError(
                f"{cls.prefix}BACKEND: there is no back end {name!r}",
                field="backend_type",
                hint=f"There are {', '.join(cls.backends)}; {cls.__name__}.register_backend adds another",
            )
        if isinstance(found, str):
            return cast("Backend", getattr(import_module("agentrun.server.services"), found))
        return found


class StateServiceFactory(ServiceFactory[StateService]):
    """Makes what keeps states, by variables that begin with STATE_."""

    prefix = "STATE_"
    backends: ClassVar = {"in_memory": "InMemoryStateService", "redis": "RedisStateService", "sql": "SqlStateService"}


class SessionHistoryServiceFactory(ServiceFactory[SessionHistoryService]):
    """Makes what keeps sessions, by variables that begin with SESSION_HISTORY_."""

    prefix = "SESSION_HISTORY_"
    backends: ClassVar = {
        "in_memory": "InMemorySessionHistoryService",
        "redis": "RedisSessionHistoryService",
        "sql": "SqlSessionHistoryService",
    }


class MemoryServiceFactory(ServiceFactory[MemoryService]):
    """Makes what remembers, by variables that begin with MEMORY_."""

    prefix = "MEMORY_"
    backends: ClassVar = {
        "in_memory": "InMemoryMemoryService",
        "redis": "RedisMemoryService",
        "sql": "SqlMemoryService",
    }


class SandboxServiceFactory(ServiceFactory[SandboxService]):
    """Makes what has the sandboxes of sessions, by variables that begin with SANDBOX_."""

    prefix = "SANDBOX_"
    default = "default"
    backends: ClassVar = {"default": SandboxService}


def _value(make: Backend, field: str, variable: str, text: str) -> Any:
    """A variable as the argument that it is for; an empty one is None."""
    types, takes_any = _arguments(make)
    if field not in types and not takes_any:
        hint = f"Its arguments are {', '.join(types)}"
        raise InvalidInputError(f"{variable}: the back end has no argument {field!r}", field=field, hint=hint)
    try:
        return TypeAdapter(types.get(field, Any)).validate_python(text or None)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInputError(f"{variable}: {problem}", field=field, hint="Correct the variable") from None


def _arguments(make: Backend) -> tuple[dict[str, Any], bool]:
    """The arguments of a back end with their types, and whether it takes any others too."""
    hints = get_type_hints(make.__init__ if inspect.isclass(make) else make)
    parameters = inspect.signature(make).parameters.values()
    types = {each.name: hints.get(each.name, Any) for each in parameters if each.kind not in _MANY}
    rest = next((each for each in parameters if each.kind is each.VAR_KEYWORD), None)
    if rest is None:
        return types, False
    packed: tuple[Any, ...] = getattr(hints.get(rest.name), "__args__", ())  # As in `**connection: Unpack[...]`.
    for each in packed:
        types |= get_type_hints(each)
    return types, not packed
