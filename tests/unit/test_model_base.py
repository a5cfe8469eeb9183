"""The base of everything that travels: names, what is refused and how, and what is kept."""

from __future__ import annotations

import traceback
from enum import Enum
from typing import Any

import pytest
from pydantic import Field, field_validator

from agentrun._core.model import Model, PageableInput, UpdateInput, build, wire_name
from agentrun._core.names import nearest
from agentrun.credential import Credential, CredentialBasicAuth, CredentialConfig, CredentialCreateInput
from agentrun.errors import InvalidInputError, InvalidResponseError


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


class Wheel(Model):
    size_in_inches: int
    spoke_count: int | None = None


class Car(Model):
    car_name: str
    colour: Colour | None = None
    front_wheel: Wheel | None = None
    wheels: list[Wheel] | None = None
    labels: dict[str, str] | None = None
    odd: str | None = wire_name("oddNAME")
    secret: str | None = Field(default=None, repr=False)

    @field_validator("car_name")
    @classmethod
    def _has_no_space(cls, value: str) -> str:
        if " " in value:
            raise ValueError("a name has no spaces")
        return value


class CarUpdate(UpdateInput):
    car_name: str | None = None
    colour: Colour | None = Colour.RED


# Field, value, what the error says, which field it names
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"car_nam": "x"}, "Car has no field 'car_nam'. Did you mean car_name?", "car_nam"),
    ({"carName": "x"}, "Car has no field 'carName'. Did you mean car_name?", "carName"),
    ({"car_name": "x", "zzz": 1}, "Car has no field 'zzz'. Known are: car_name, colour", "zzz"),
    ({}, "Car needs 'car_name'", "car_name"),
    ({"car_name": 5}, "Car.car_name: Input should be a valid string", "car_name"),
    ({"car_name": "a b"}, "Car.car_name: a name has no spaces", "car_name"),
    ({"car_name": "x", "colour": "green"}, "Car.colour: Input should be 'red' or 'blue'", "colour"),
    ({"car_name": "x", "front_wheel": {}}, "Car needs 'front_wheel.size_in_inches'", "front_wheel.size_in_inches"),
    (
        {"car_name": "x", "front_wheel": {"size_in_inches": 1, "spokes": 3}},
        "Car has no field 'front_wheel.spokes'. Did you mean spoke_count?",
        "front_wheel.spokes",
    ),
    (
        {"car_name": "x", "wheels": [{"size_in_inches": 1}, {"size_inches": 2}]},
        "Car has no field 'wheels.1.size_inches'. Did you mean size_in_inches?",
        "wheels.1.size_inches",
    ),
    ({"car_name": "x", "labels": {"a": 1}}, "Car.labels.a: Input should be a valid string", "labels.a"),
    ({"car_name": "x", "wheels": 3}, "Car.wheels: Input should be a valid list", "wheels"),
]


@pytest.mark.parametrize(("fields", "text", "name"), WRONG)
def test_what_is_refused_and_how(fields: dict[str, Any], text: str, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Car(**fields)
    assert str(caught.value).startswith(text)
    assert caught.value.field == name
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "nobody should see pydantic's own error above ours"


def test_a_refused_value_is_not_repeated() -> None:
    for fields in ({"car_name": 5, "secret": ["hidden"]}, {"car_name": "x", "secret": ["hidden"]}):
        values: dict[str, Any] = fields
        with pytest.raises(InvalidInputError) as caught:
            Car(**values)
        assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_snake_case_in_python_camel_case_on_the_wire() -> None:
    car = Car(car_name="x", colour=Colour.BLUE, front_wheel=Wheel(size_in_inches=20), odd="o")
    assert car.colour == "blue"
    wire = {"carName": "x", "colour": "blue", "frontWheel": {"sizeInInches": 20}, "oddNAME": "o"}
    assert car.to_wire() == wire
    assert car.model_dump(exclude_none=True) == wire
    assert Car.from_wire(wire).model_dump() == car.model_dump()


def test_none_does_not_travel_but_empty_does() -> None:
    assert Car(car_name="", wheels=[], labels={}).to_wire() == {"carName": "", "wheels": [], "labels": {}}


def test_an_update_sends_what_was_given() -> None:
    assert CarUpdate().to_wire() == {}
    assert CarUpdate(car_name="y").to_wire() == {"carName": "y"}
    assert CarUpdate(colour=Colour.RED).to_wire() == {"colour": "red"}


def test_what_is_not_known_yet_is_kept() -> None:
    car: Any = Car.from_wire({"carName": "x", "newField": 1, "frontWheel": {"sizeInInches": 2, "newPart": True}})
    assert (car.newField, car.front_wheel.newPart) == (1, True)
    assert car.model_extra == {"newField": 1}


def test_python_names_are_not_wire_names() -> None:
    with pytest.raises(InvalidResponseError, match="carName"):
        Car.from_wire({"car_name": "x"})


@pytest.mark.parametrize("data", [{}, {"carName": 1}, [], None, "text", {"carName": "x", "wheels": "hidden"}])
def test_an_answer_that_does_not_fit(data: Any) -> None:
    with pytest.raises(InvalidResponseError, match="not a Car") as caught:
        Car.from_wire(data)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


STRICT: list[tuple[Any, str]] = [
    ({"carNme": "x"}, "Car has no field 'carNme'. Did you mean carName?"),
    ({"car_name": "x"}, "Car has no field 'car_name'. Did you mean carName?"),
    ({"carName": "x", "odd": "o"}, "Car has no field 'odd'. Did you mean oddNAME?"),
    (
        {"carName": "x", "frontWheel": {"sizeInInches": 1, "spokes": 3}},
        "Car has no field 'frontWheel.spokes'. Did you mean spokeCount?",
    ),
    (
        {"carName": "x", "wheels": [{"size": 3}]},
        "Car has no field 'wheels.0.size'. Known are: sizeInInches, spokeCount",
    ),
    ({"carName": "x", "wheels": [{"sizeInInches": "3"}]}, "Car.wheels.0.sizeInInches: Input should be a valid integer"),
    (
        {"carName": "x", "wheels": [{"sizeInInches": True}]},
        "Car.wheels.0.sizeInInches: Input should be a valid integer",
    ),
    ([], "Car: Input should be an object"),
]


@pytest.mark.parametrize(("data", "text"), STRICT)
def test_a_request_is_read_strictly_by_the_names_of_the_wire(data: Any, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Car.from_wire_strictly(data)
    assert str(caught.value).startswith(text)


def test_what_fits_is_read_strictly() -> None:
    wire = {"carName": "x", "colour": "blue", "frontWheel": {"sizeInInches": 20}, "oddNAME": "o"}
    assert Car.from_wire_strictly(wire) == Car.from_wire(wire)


def test_one_takes_over_the_other() -> None:
    car: Any = Car.from_wire({"carName": "x", "colour": "red", "newField": 1, "kept": 1})
    other = Car.from_wire({"carName": "y", "newField": 2})
    assert car.update_self(other) is car
    assert (car.car_name, car.colour, car.newField, car.kept) == ("y", None, 2, 1)
    assert car.update_self(None) is car


def test_pages() -> None:
    assert PageableInput(page_number=2).to_wire() == {"pageNumber": 2}


@pytest.mark.parametrize(
    ("name", "found"),
    [("templateName", "template_name"), ("tempalte_name", "template_name"), ("TEMPLATE", "template_name"), ("x", None)],
)
def test_the_nearest_name(name: str, found: str | None) -> None:
    assert nearest(name, ["template_name", "sandbox_idle_timeout_seconds"]) == found


# Inputs of calls


def test_an_input_is_an_object_or_keywords() -> None:
    car = Car(car_name="x")
    assert build(Car, car, {}) is car
    assert build(Car, None, {"car_name": "x"}) == car


@pytest.mark.parametrize(
    ("given", "fields", "text"),
    [
        (Car(car_name="x"), {"colour": "red"}, "not both"),
        ({"car_name": "x"}, {}, "expected a Car, not dict"),
        (None, {"car_nam": "x"}, "Did you mean car_name?"),
    ],
)
def test_inputs_that_are_refused(given: Any, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        build(Car, given, fields)
    assert text in str(caught.value)


# Secrets in models


def test_no_secret_of_a_credential_shows() -> None:
    config = CredentialConfig.outbound_tool_ak_sk("aliyun", "AK", "SK-hidden", "1")
    users = CredentialConfig.inbound_basic([CredentialBasicAuth(username="u", password="PW-hidden")])
    wanted = CredentialCreateInput(credential_name="n", credential_config=config)
    found = Credential.from_wire({"credentialName": "n", "credentialSecret": "SK-hidden"})
    assert "hidden" not in f"{config!r} {config} {users!r} {wanted!r} {found!r} {found} {[found]}"
    assert found.credential_secret == "SK-hidden"
    assert wanted.to_wire()["credentialSecret"] == "SK-hidden"
