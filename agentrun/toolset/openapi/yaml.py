"""YAML as OpenAPI means it: JSON's values, so no dates, no `yes` for true and no base-60 numbers; keys are text."""

from __future__ import annotations

import re
from typing import Any, ClassVar, cast

import yaml

from agentrun.errors import InvalidInputError

MOST_VALUES = 10_000_000
DEEPEST = 250
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # The C one is ten times as fast, and not always built.
_ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*[^\s*]")


class _Loader(_Base):  # type: ignore[misc]  # Which one it is depends on how PyYAML was built.
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}
    _depth: int = 0

    # These two are called around each node. The C loader itself would go down until the process crashes.

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Go one level down."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.YAMLError(f"it is nested deeper than {DEEPEST} levels")

    def ascend_resolver(self) -> None:
        """Come back up."""
        self._depth -= 1


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN\0")
_Loader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile(r"^$")))
_resolve("int", r"^[-+]?[0-9]+$", "-+0123456789")
_resolve("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")
_resolve("merge", r"^<<$", "<")


def _mapping(loader: Any, node: yaml.MappingNode) -> Any:
    made: dict[str, Any] = {}
    yield made
    loader.flatten_mapping(node)
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key that is no text", key.start_mark)
        made[key.value] = loader.construct_object(value)  # As written: the key of a response is `200`, not 200.


def _integer(_: Any, node: yaml.ScalarNode) -> int:
    return int(node.value)  # Also with a leading zero, which YAML 1.1 takes for octal.


def _number(_: Any, node: yaml.ScalarNode) -> float:
    return float(node.value)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; raises InvalidInputError with the place of what is wrong."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _ALIAS.search(text):
            _refuse_bomb(node, where)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInputError(f"{where} is neither JSON nor YAML: {error.problem}{place}") from None
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{where} is neither JSON nor YAML: {error}") from None
    except (RecursionError, ValueError) as error:
        raise InvalidInputError(f"{where} cannot be read: {str(error) or 'it is nested too deeply'}") from None
    finally:
        loader.dispose()


def _refuse_bomb(node: yaml.Node, where: str) -> None:
    """Raise InvalidInputError when aliases make the text far more than was written, or endless."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is None:
            sizes[id(node)] = MOST_VALUES + 1  # What holds itself is endless.
            known = sizes[id(node)] = 1 + sum(size(part) for part in _parts(node))
        return known

    if size(node) > MOST_VALUES:
        hint = "Write the parts out, or use $ref, which may be recursive"
        raise InvalidInputError(f"{where} has aliases that stand for more than {MOST_VALUES} values", hint=hint)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in cast("list[tuple[yaml.Node, yaml.Node]]", node.value) for part in pair]
    return cast("list[yaml.Node]", node.value) if isinstance(node, yaml.SequenceNode) else []
