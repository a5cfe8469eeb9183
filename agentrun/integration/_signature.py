"""What a function takes, read from its signature, its hints and its docstring, and whether given arguments fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo

from agentrun._core.names import nearest
from agentrun.errors import InvalidInputError
from agentrun.integration._docstring import Docstring, parsed
from agentrun.integration._parameter import schema_of_model

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=False, hide_input_in_errors=True)
_ITSELF = ("self", "cls")


class Arguments(NamedTuple):
    """Validated arguments as a function is called with them."""

    positional: list[Any]
    keywords: dict[str, Any]


class _Taken(NamedTuple):
    """A parameter of a function: the name that models use for it, and the field of the model that validates it."""

    parameter: inspect.Parameter
    alias: str
    field: str


class Signature:
    """What a function takes; `schema` is the JSON Schema of it, `description` what its docstring says first.

    `is_method` tells that its first parameter is the object that it belongs to. Raises InvalidInputError for a function
    that takes what no JSON can say.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = _parameters(function)
        self.is_method = _is_method(function, parameters)
        docstring = documented(function)
        self.description = docstring.text
        kept = parameters[1:] if self.is_method else parameters
        self._taken, fields = _fields(function, kept, docstring.arguments)
        self._model = _model(function, fields)
        self.schema = schema_of_model(self._model)

    def arguments(self, owner: str, given: Mapping[str, Any]) -> Arguments:
        """The arguments, validated and converted; raises InvalidInputError, whose `field` names what does not fit."""
        valid = validated(self._model, owner, given)
        values = [(taken.parameter, getattr(valid, taken.field)) for taken in self._taken]
        positional = [value for parameter, value in values if parameter.kind is parameter.POSITIONAL_ONLY]
        keywords = {p.name: value for p, value in values if p.kind is not p.POSITIONAL_ONLY}
        return Arguments(positional, keywords)


def validated(model: type[BaseModel], owner: str, given: Mapping[str, Any]) -> BaseModel:
    """Arguments as a model's instance; raises InvalidInputError, whose `field` is such as `order.items[0].count`."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise _refused(model, owner, error) from None


def _refused(model: type[BaseModel], owner: str, error: ValidationError) -> InvalidInputError:
    # A misspelt required argument is both unknown and missing; the misspelling is the useful half.
    problem = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).removeprefix(".")
    if problem["type"] == "missing":
        return InvalidInputError(f"{owner}: {field} is missing", field=field)
    if problem["type"] != "extra_forbidden":
        text = problem["msg"].removeprefix("Value error, ")
        return InvalidInputError(f"{owner}: {field or 'the arguments'}: {text}", field=field)
    known = [spec.alias or name for name, spec in model.model_fields.items()]
    suggestion = nearest(field, known)
    hint = f"Did you mean {suggestion}?" if suggestion else f"Known are: {', '.join(known)}" if known else None
    return InvalidInputError(f"{owner}: {field} is not known", field=field, hint=hint)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name_of(function)} does not tell its parameters", hint="Wrap it in a function with type hints"
        ) from error
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidInputError(
                f"{name_of(function)} takes {parameter}, which no model can be told of",
                field=parameter.name,
                hint="Name each parameter, or give the tool its parameters or an args_schema",
            )
    return parameters


def _is_method(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> bool:
    if not parameters or parameters[0].name not in _ITSELF or inspect.ismethod(function):
        return False
    owner = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(owner) and not owner.endswith("<locals>")


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called: its own name, or that of its class."""
    inner = innermost(function)
    return getattr(inner, "__name__", None) or type(inner).__name__


def innermost(function: Callable[..., Any]) -> Any:
    """The function itself, without what `functools.partial` put around it."""
    inner: Any = function
    while isinstance(inner, partial):
        inner = inner.func
    return inner


def documented(function: Callable[..., Any]) -> Docstring:
    """What the docstring of a function says."""
    return parsed(inspect.getdoc(innermost(function)))


def _fields(
    function: Callable[..., Any], parameters: list[inspect.Parameter], described: Mapping[str, str]
) -> tuple[list[_Taken], dict[str, Any]]:
    hints = _hints(function)
    taken: list[_Taken] = []
    fields: dict[str, Any] = {}
    for index, parameter in enumerate(parameters):
        hint = hints.get(parameter.name, Any)
        infos = [*_infos(hint), *([parameter.default] if isinstance(parameter.default, FieldInfo) else [])]
        alias = next((info.alias for info in reversed(infos) if info.alias), parameter.name)
        # A model has attributes of its own, such as `copy` and `json`; no parameter's name meets these.
        name = f"argument_{index}"
        taken.append(_Taken(parameter, alias, name))
        said = None if any(info.description for info in infos) else described.get(parameter.name)
        default = ... if parameter.default is parameter.empty else parameter.default
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (_annotated(hint, alias, said), default)
    return taken, fields


def _annotated(hint: Any, alias: str, said: str | None) -> Any:
    return Annotated[hint, Field(alias=alias, description=said)] if said else Annotated[hint, Field(alias=alias)]


def _infos(hint: Any) -> Iterator[FieldInfo]:
    if get_origin(hint) is Annotated:
        yield from (each for each in get_args(hint)[1:] if isinstance(each, FieldInfo))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    inner = innermost(function)
    if not inspect.isroutine(inner):
        inner = getattr(inner, "__init__" if isinstance(inner, type) else "__call__")
    try:
        return get_type_hints(inspect.unwrap(inner), include_extras=True)
    except NameError as error:
        raise InvalidInputError(
            f"the type {error.name!r} in the hints of {name_of(function)} is not known in its module",
            hint="Define or import it at the top of the module, before the function",
        ) from error


def _model(function: Callable[..., Any], fields: dict[str, Any]) -> type[BaseModel]:
    name = name_of(function)
    try:
        return create_model(name, __config__=_STRICT, **fields)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise InvalidInputError(
            f"{name} takes something that no JSON can say: {str(error).splitlines()[0].rstrip('.')}",
            hint="Use plain types, dataclasses, TypedDicts or pydantic models, or give the tool an args_schema",
        ) from error
