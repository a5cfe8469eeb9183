"""The base of everything that travels: snake_case in Python, camelCase on the wire.

Users build models by field name, and a name that does not exist is refused with the nearest one that does; what the
service answers is read by its wire names, and a field that this version does not know yet is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agentrun._core.names import nearest
from agentrun.errors import InvalidInputError, InvalidResponseError

if TYPE_CHECKING:
    from typing_extensions import Self

M = TypeVar("M", bound="Model")


def _names(model: type[BaseModel], on_the_wire: bool) -> dict[str, str]:
    """The fields of a model by the names that the other side uses."""
    fields = model.model_fields.items()
    return {(str(spec.validation_alias or spec.alias or name) if on_the_wire else name): name for name, spec in fields}


def _owner(model: type[BaseModel], path: Iterable[int | str], on_the_wire: bool) -> type[BaseModel]:
    """The model that holds the last name of a path, as far as annotations tell."""
    for part in path:
        spec = model.model_fields.get(_names(model, on_the_wire).get(str(part), ""))
        nested = [kind for kind in _kinds(spec.annotation if spec else None) if issubclass(kind, BaseModel)]
        model = nested[0] if nested else model
    return model


def _kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _kinds(part)]


def _unknown_field(
    model: type[BaseModel], location: tuple[int | str, ...], path: str, on_the_wire: bool
) -> InvalidInputError:
    known = _names(_owner(model, location[:-1], on_the_wire), on_the_wire)
    suggestion = nearest(str(location[-1]), known)
    hint = f"Did you mean {suggestion}?" if suggestion else f"Known are: {', '.join(known)}"
    return InvalidInputError(f"{model.__name__} has no field {path!r}", field=path, hint=hint)


def _input_error(model: type[BaseModel], error: ValidationError, on_the_wire: bool = False) -> InvalidInputError:
    # A misspelt required field is both unknown and missing; the misspelling is the useful half.
    problem = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown_field(model, problem["loc"], path, on_the_wire)
    if problem["type"] == "missing":
        return InvalidInputError(f"{model.__name__} needs {path!r}", field=path)
    text = problem["msg"].removeprefix("Value error, ")
    return InvalidInputError(f"{model.__name__}.{path}: {text}" if path else f"{model.__name__}: {text}", field=path)


class Model(BaseModel):
    """A value that travels; `model_dump()` gives the wire's names, as in the official client."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(alias=to_camel),
        validate_by_name=True,
        validate_by_alias=False,
        serialize_by_alias=True,
        use_enum_values=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        hide_input_in_errors=True,  # What does not fit may be a secret.
    )

    if not TYPE_CHECKING:

        def __init__(self, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise _input_error(type(self), error) from None

        # pydantic treats an overridden __init__ as a constructor that must be called for every nested value, and then
        # forgets how the outer call validates. Ours only rewrites the error, which this mark tells it.
        __init__.__pydantic_base_init__ = True

    def __eq__(self, other: object) -> bool:
        # Before pydantic 2.13 a model that allows no extra fields and one that has none are not the same.
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Model)
        return vars(self) == vars(other) and (self.model_extra or {}) == (other.model_extra or {})

    __hash__ = None  # type: ignore[assignment]  # A value that can change has no hash, as in pydantic.

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """The model out of the service's own names; raises InvalidResponseError when it does not fit."""
        try:
            return cls.model_validate(data, by_alias=True, by_name=False, extra="allow")
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            path = ".".join(str(part) for part in problem["loc"])
            raise InvalidResponseError(
                f"the service's answer is not a {cls.__name__}: {path}: {problem['msg']}"
            ) from error

    @classmethod
    def from_wire_strictly(cls, data: Any) -> Self:
        """The model out of a request in the wire's names; raises InvalidInputError, which names the wire's fields."""
        try:
            # As JSON, because only there does strict mean that text is no number, and yet an enum's value is one of it.
            return cls.model_validate_json(json.dumps(data), strict=True, by_alias=True, by_name=False, extra="forbid")
        except ValidationError as error:
            raise _input_error(cls, error, on_the_wire=True) from None

    def to_wire(self) -> dict[str, Any]:
        """What travels: the wire's names, without what is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def update_self(self, other: BaseModel | None) -> Self:
        """Take over every field of another model of the same kind."""
        if other is not None:
            # Both were validated when they were read; setting attributes would do it again, one by one.
            vars(self).update(vars(other))
            if other.model_extra:
                self.__pydantic_extra__ = {**(self.model_extra or {}), **other.model_extra}
            self.model_fields_set.update(other.model_fields_set)
        return self


def wire_name(name: str) -> Any:
    """The default of an optional field whose name on the wire is not its own in camelCase."""
    return Field(default=None, validation_alias=name, serialization_alias=name)


class UpdateInput(Model):
    """What to change: only the fields that were given travel, so that a default never resets anything."""

    def to_wire(self) -> dict[str, Any]:
        """What travels."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, include=self.model_fields_set)


class PageableInput(Model):
    """Which page of a list: numbers start at 1."""

    page_number: int | None = None
    page_size: int | None = None


def build(kind: type[M], input: M | None, fields: Mapping[str, Any]) -> M:
    """The input object given, or one made of the keywords given; not both."""
    if input is None:
        return kind(**fields)
    if fields:
        raise InvalidInputError(
            f"give a {kind.__name__} or keywords, not both", field=next(iter(fields)), hint="Put all of it in one place"
        )
    if not isinstance(input, kind):
        raise InvalidInputError(f"expected a {kind.__name__}, not {type(input).__name__}", field="input")
    return input
