"""Arguments are checked, and an error names the field and never the value."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun.errors import Executed, InvalidInputError
from agentrun.toolset.arguments import checked_arguments

PET: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
        "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 100, "multipleOf": 5},
        "kind": {"enum": ["cat", "dog"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 3, "uniqueItems": True},
        "note": {"type": ["string", "null"]},
        "owner": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "fixed": {"const": 1},
    },
    "required": ["name"],
    "additionalProperties": False,
}
TAG = {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}, "required": ["name"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"pet": PET, "dry_run": {"type": "boolean"}, "token": {"type": "string"}},
    "required": ["pet"],
    "additionalProperties": False,
    "dependentRequired": {"dry_run": ["token"]},
    "$defs": {"tag": TAG},
}


def pet(**fields: Any) -> dict[str, Any]:
    return {"pet": {"name": "tom", **fields}}


def test_what_fits_comes_back() -> None:
    given = pet(age=5, kind="cat", tags=[{"name": "a"}], note=None, owner=3)
    assert checked_arguments("make", SCHEMA, given) == given


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, "pet", "is missing", "an object"),
    ({"pet": {}}, "pet.name", "is missing", "a string"),
    ({**pet(), "dryrun": True}, "dryrun", "is not known", "Did you mean dry_run?"),
    ({**pet(), "zzz": 1}, "zzz", "is not known", "Known are: pet, dry_run, token"),
    (pet(nam="x"), "pet.nam", "is not known", "Did you mean name?"),
    (pet(age="five"), "pet.age", "must be an integer, not a string", ""),
    (pet(age=5.5), "pet.age", "", ""),
    (pet(age=-5), "pet.age", "must be 0 or more", ""),
    (pet(age=100), "pet.age", "must be less than 100", ""),
    (pet(age=7), "pet.age", "must be a multiple of 5", ""),
    (pet(kind="cow"), "pet.kind", "is none of the values", "Allowed are: cat, dog"),
    (pet(tags=[{"name": "a"}, {"name": 5}]), "pet.tags[1].name", "must be a string, not a number", ""),
    (pet(tags=[{"size": 5}]), "pet.tags[0].name", "is missing", "a string"),
    (pet(tags=[{"name": "a"}, {"name": "a"}]), "pet.tags", "the same item twice", ""),
    (pet(tags="a"), "pet.tags", "must be an array, not a string", ""),
    (pet(owner=[1]), "pet.owner", "", ""),
    (pet(fixed=2), "pet.fixed", "must be 1", ""),
    ({"pet": {"name": "x"}}, "pet.name", "2 characters or more", ""),
    ({"pet": {"name": "abcdef"}}, "pet.name", "5 characters or fewer", ""),
    ({"pet": {"name": "ABC"}}, "pet.name", "must match the pattern ^[a-z]+$", ""),
    ({"pet": None}, "pet", "must be an object, not null", ""),
    ({**pet(), "dry_run": True}, "", "lacks a part", "token"),
]


@pytest.mark.parametrize(("given", "field", "said", "hint"), WRONG)
def test_an_error_names_the_field_and_what_is_wrong(given: Any, field: str, said: str, hint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked_arguments("make", SCHEMA, given)
    assert caught.value.field == field
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.executed is Executed.NO
    assert str(caught.value).startswith("make: ")


@pytest.mark.parametrize(
    "given",
    [pet(age="hunter2"), pet(kind="hunter2"), pet(fixed="hunter2"), pet(owner={"hunter2": 1}), pet(tags="hunter2")],
)
def test_an_error_never_shows_what_was_given(given: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked_arguments("make", SCHEMA, given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({**pet(), "token": None}, pet()),
        (pet(age=None, kind=None, owner=None, note=None), pet(note=None)),
        (pet(tags=[{"name": "a", "size": None}]), pet(tags=[{"name": "a"}])),
        ({**pet(age=None), "dry_run": None, "token": None}, pet()),
    ],
)
def test_null_for_what_is_optional_is_left_away(given: Any, left: Any) -> None:
    before = repr(given)
    assert checked_arguments("make", SCHEMA, given) == left
    assert repr(given) == before


@pytest.mark.parametrize(
    ("given", "field"),
    [({"pet": {"name": None}}, "pet.name"), (pet(tags=[None]), "pet.tags[0]"), ({"pet": None}, "pet")],
)
def test_null_for_what_is_needed_is_refused(given: Any, field: str) -> None:
    with pytest.raises(InvalidInputError, match="null") as caught:
        checked_arguments("make", SCHEMA, given)
    assert caught.value.field == field


def test_no_arguments_at_all() -> None:
    assert checked_arguments("now", {"type": "object", "properties": {}}, None) == {}


def test_arguments_must_be_a_mapping() -> None:
    wrong: Any = ["a"]
    with pytest.raises(InvalidInputError, match="must be a mapping, not an array"):
        checked_arguments("now", {"type": "object"}, wrong)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "text"}}},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
        {"type": "object", "properties": {"a": {"minimum": "1"}}},
    ],
)
def test_a_schema_that_is_none_is_a_clear_error(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="the schema of odd cannot be used"):
        checked_arguments("odd", schema, {"a": "x" if "pattern" in schema["properties"]["a"] else 1})


def test_older_dialects_are_read_as_such() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 1, "exclusiveMinimum": True}},
    }
    with pytest.raises(InvalidInputError, match=r"^old: a must be"):
        checked_arguments("old", schema, {"a": 1})
