"""Python functions as tools: what a model is told, how arguments arrive, and that no mode stops another."""

from __future__ import annotations

import asyncio
import enum
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from agentrun import integration
from agentrun._core.blocking import is_blocking
from agentrun.errors import BlockingError, InvalidInputError
from agentrun.integration._function import from_function
from agentrun.integration._session import current_session
from agentrun.integration.utils import CommonToolSet, Tool, ToolParameter, from_pydantic, tool
from agentrun.integration.utils.tool import normalize_tool_name
from tests.unit.modes import both_modes, drive


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str
    count: int = 1


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    fast: bool


@tool
def order(
    item: Item,
    colors: list[Color],
    mode: Literal["a", "b"] = "a",
    point: Point | None = None,
    options: Options | None = None,
    copy: Annotated[int, Field(ge=0, description="its own")] = 3,
    json: Any = None,
) -> list[Any]:
    """Order things.

    Args:
        item: What to order,
            and how often.
        colors (list of Color): The colours: red or blue.
        copy: Not shown, because the hint says it.

    Returns:
        What was ordered.
    """
    return [item, colors, mode, point, options, copy, json]


def test_a_model_is_told_everything_that_the_function_says() -> None:
    properties: Any = order.parameters["properties"]
    assert (order.name, order.description) == ("order", "Order things.")
    assert order.parameters["required"] == ["item", "colors"]
    assert order.parameters["additionalProperties"] is False
    assert properties["item"]["description"] == "What to order, and how often."
    assert properties["colors"]["description"] == "The colours: red or blue."
    assert properties["mode"] == {"default": "a", "enum": ["a", "b"], "type": "string"}
    assert properties["copy"] == {"default": 3, "description": "its own", "minimum": 0, "type": "integer"}
    assert properties["point"]["anyOf"][1] == {"type": "null"}
    assert {"Item", "Color", "Point", "Options"} == set(order.parameters["$defs"])
    assert "title" not in properties["mode"]
    json.dumps(order.to_openai_function())
    assert order.to_anthropic_tool()["input_schema"] == dict(order.parameters)


def test_arguments_arrive_as_what_the_hints_say() -> None:
    item, colors, mode, point, options, copy, other = order(
        item={"name": "pen", "count": "2"},
        colors=["red"],
        point={"x": 1},
        options={"fast": True},
        copy=4,
        json={"a": 1},
    )
    assert item == Item(name="pen", count=2)
    assert colors == [Color.RED]
    assert (mode, point, options, copy, other) == ("a", Point(1), {"fast": True}, 4, {"a": 1})


@pytest.mark.parametrize(
    ("arguments", "field", "said"),
    [
        ({"item": {"name": 1}, "colors": []}, "item.name", "valid string"),
        ({"item": {"name": "a"}, "colors": ["red", "green"]}, "colors[1]", "'red' or 'blue'"),
        ({"item": {"name": "a"}, "colors": [], "copy": -1}, "copy", "greater than or equal to 0"),
        ({"itm": {"name": "a"}, "colors": []}, "itm", "Did you mean item?"),
        ({"item": {"name": "a"}}, "colors", "is missing"),
        ({"item": {"name": "a"}, "colors": [], "mode": "c"}, "mode", "'a' or 'b'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], field: str, said: str) -> None:
    outcome = order.outcome(arguments)
    assert isinstance(outcome.error, InvalidInputError)
    assert outcome.error.field == field
    assert said in outcome.text
    assert outcome.error.executed == "no"


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    @tool
    def pay(card: int) -> None: ...

    assert "hunter2" not in pay.outcome({"card": "hunter2"}).text


@tool
async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


@tool
def tripled(number: int) -> int:
    return number * 3


@both_modes
def test_plain_and_asynchronous_functions_work_in_both_modes(mode: str) -> None:
    assert drive(mode, doubled.call_async(number=2)) == 4
    assert drive(mode, tripled.call_async(number=2)) == 6


def test_a_plain_function_does_not_stop_the_event_loop() -> None:
    released = threading.Event()

    @tool
    def waits() -> bool:
        return released.wait(30)

    async def main() -> bool:
        call = asyncio.create_task(waits.call_async())
        await asyncio.sleep(0.05)  # Would never end if the loop stood still.
        released.set()
        result: bool = await call
        return result

    assert asyncio.run(main()) is True


def test_asynchronous_functions_of_synchronous_callers_share_a_loop() -> None:
    @tool
    async def loop_id() -> int:
        return id(asyncio.get_running_loop())

    assert loop_id() == loop_id()


def test_an_asynchronous_function_that_calls_another_synchronously_is_told() -> None:
    @tool
    async def outer() -> Any:
        return doubled(number=1)

    with pytest.raises(BlockingError, match="call_async"):
        outer()


@both_modes
def test_functions_know_the_session_and_choose_their_own_mode(mode: str) -> None:
    @tool
    def plain() -> list[Any]:
        return [current_session(), is_blocking()]

    @tool
    async def waiting() -> list[Any]:
        return [current_session(), is_blocking()]

    for each in (plain, waiting):
        assert drive(mode, each.outcome_async({}, "s-1")).value == ["s-1", False]


@both_modes
def test_what_a_generator_yields_is_progress(mode: str) -> None:
    @tool
    def counted(to: int) -> Iterator[str]:
        for number in range(to):
            yield f"{number} "

    @tool
    async def awaited(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @tool
    def returned() -> Any:
        yield "half"
        return {"whole": True}

    seen: list[Any] = []

    def watch(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total, message))

    assert drive(mode, counted.outcome_async({"to": 2}, progress=watch)).text == "0 1 "
    assert seen == [(1, None, "0 "), (2, None, "1 ")]
    assert drive(mode, awaited.outcome_async({"to": 3}, progress=watch)).value == [0, 1, 2]
    assert drive(mode, returned.outcome_async({})).value == {"whole": True}
    assert len(seen) == 5


def test_results_become_json() -> None:
    @tool
    def mixed() -> list[Any]:
        return [Item(name="a"), Point(1), Color.RED, {"k": {1}}]

    assert mixed.outcome({}).value == [{"name": "a", "count": 1}, {"x": 1, "y": 0}, "red", {"k": [1]}]


def test_what_a_function_raises_is_an_outcome() -> None:
    @tool
    def fails() -> None:
        raise KeyError("gone")

    assert fails.outcome({}).text == "KeyError: 'gone'"
    with pytest.raises(KeyError):
        fails()


def test_ten_calls_at_once_keep_their_sessions() -> None:
    @tool
    def whose() -> str | None:
        time.sleep(0.01)
        return current_session()

    async def main() -> list[Any]:
        return await asyncio.gather(*(whose.outcome_async({}, f"s{number}") for number in range(10)))

    assert [outcome.value for outcome in asyncio.run(main())] == [f"s{number}" for number in range(10)]


# Functions that cannot be tools


def test_what_no_model_can_be_told_of_is_refused_at_once() -> None:
    def many(*values: int) -> None: ...
    def named(**values: int) -> None: ...
    def opaque(lock: threading.Event) -> None: ...

    for function, field in ((many, "values"), (named, "values")):
        with pytest.raises(InvalidInputError, match="no model can be told of") as refused:
            from_function(function)
        assert refused.value.field == field
    with pytest.raises(InvalidInputError, match="no JSON can say"):
        from_function(opaque)


def test_a_type_that_is_unknown_in_its_module_is_told() -> None:
    class Local(BaseModel):
        a: int

    def uses(value: Local) -> None: ...

    with pytest.raises(InvalidInputError, match="'Local' in the hints of uses"):
        from_function(uses)


# Methods, partials, names


class Counter(CommonToolSet):
    def __init__(self, start: int) -> None:
        super().__init__()
        self.total = start

    @tool
    def add(self, number: int, /, times: int = 1) -> int:
        """Add a number."""
        self.total += number * times
        return self.total

    @tool(name="read it", description="Read the total.")
    async def read(self) -> int:
        return self.total


class Longer(Counter):
    @tool
    def clear(self) -> int:
        self.total = 0
        return 0


def test_a_set_has_its_decorated_methods_as_tools() -> None:
    one, other = Counter(0), Counter(10)
    assert [each.name for each in one.tools()] == ["add", "read_it"]
    assert [each.name for each in Longer(0).tools()] == ["add", "read_it", "clear"]
    assert one.tools()[0](number=2, times=3) == 6
    assert other.add(number=1) == 11
    assert (one.total, other.total) == (6, 11)
    assert one.tools()[1].outcome({}).value == 6
    assert one.tools("mine")[1].name == "mine_read_it"
    assert "self" not in one.add.parameters["properties"]


def test_a_method_needs_its_object() -> None:
    assert "bind(instance)" in Counter.add.outcome({"number": 1}).text
    assert Counter.add.bind(Counter(1))(number=1) == 2


def test_a_subclass_need_not_call_init() -> None:
    class Lazy(CommonToolSet):
        def __init__(self) -> None:  # pylint: disable=super-init-not-called
            self.value = 7

        @tool
        def get(self) -> int:
            return self.value

    with Lazy() as lazy:
        assert lazy.tools()[0]() == 7


def test_partials_and_callable_objects_are_functions_too() -> None:
    class Adder:
        """Adds."""

        def __call__(self, number: int) -> int:
            return number + 1

    def power(base: int, exponent: int) -> int:
        """Raise a number."""
        return int(base**exponent)

    square = from_function(partial(power, exponent=2), "square")
    assert square(base=3) == 9
    assert square.description == "Raise a number."
    assert from_function(Adder())(number=1) == 2


def test_long_and_strange_names_become_what_models_take() -> None:
    assert normalize_tool_name("a b/c") == "a_b_c"
    assert len(normalize_tool_name("x" * 100)) == 64


# The official ways to make a tool


def test_parameters_may_be_written_by_hand() -> None:
    def search(**arguments: Any) -> dict[str, Any]:
        return arguments

    made = Tool(
        "search",
        "Search.",
        [
            ToolParameter("query", "string", "What for", required=True),
            ToolParameter("kind", "string", enum=["web", "image"], default="web"),
            ToolParameter("tags", "array", items={"type": "string"}, nullable=True),
        ],
        func=search,
    )
    assert made.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What for"},
            "kind": {"type": "string", "default": "web", "enum": ["web", "image"]},
            "tags": {"type": ["array", "null"], "items": {"type": "string"}},
        },
        "required": ["query"],
    }
    assert made(query="a") == {"query": "a", "kind": "web"}
    for arguments, field in (({}, "query"), ({"query": 1}, "query"), ({"query": "a", "kind": "b"}, "kind")):
        error = made.outcome(arguments).error
        assert isinstance(error, InvalidInputError)
        assert error.field == field


def test_hints_convert_what_a_schema_describes() -> None:
    schema = {"type": "object", "properties": {"item": {"type": "object"}}, "required": ["item"]}

    def take(item: Item) -> Item:
        return item

    assert Tool("take", "", schema, func=take)(item={"name": "a"}) == Item(name="a")


def test_a_parameter_has_a_type_of_json() -> None:
    with pytest.raises(InvalidInputError, match="Known are: string"):
        ToolParameter("a", "text")


def test_a_pydantic_model_may_say_the_arguments() -> None:
    class Search(BaseModel):
        """A search."""

        query: str = Field(description="What for")
        item: Item | None = None

    def search(query: str, item: Item | None) -> list[Any]:
        return [query, item]

    made = from_pydantic("search", "Search.", Search, search)
    assert made.args_schema is Search
    assert made.description == "Search."
    assert made(query="a", item={"name": "b"}) == ["a", Item(name="b")]
    assert made.outcome({}).text == "InvalidInputError: search: query is missing"


def test_what_is_for_tools_of_any_origin_is_in_the_package() -> None:
    assert [name for name in integration.__all__ if getattr(integration, name) is None] == []
    assert integration.tool is tool
    with pytest.raises(AttributeError, match="no attribute 'tols'"):
        _ = integration.tols


def test_a_tool_needs_something_to_do() -> None:
    with pytest.raises(InvalidInputError, match="Give it a func or a perform"):
        Tool("idle", "Does nothing.")
