from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrun._core.values import is_list, is_object
from agentrun.server.protocols import agent_api

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "data" / "captures" / "agent-api" / "schema.json").read_text()
)
# The order of alternatives does not matter where one field tells them apart; and a status may be null everywhere.
OUR_OWN = {("Message", "content"), ("Message", "status"), ("AgentResponse", "status")}


def bare(value: Any) -> Any:
    """A schema without what is only for people."""
    if is_object(value):
        return {name: bare(entry) for name, entry in value.items() if not (name == "title" and isinstance(entry, str))}
    return [bare(entry) for entry in value] if is_list(value) else value


@pytest.mark.parametrize("name", SCHEMA)
def test_a_model_has_the_fields_of_the_wire_in_their_order(name: str) -> None:
    ours = getattr(agent_api, name).model_json_schema()
    assert list(ours["properties"]) == list(SCHEMA[name]["properties"])
    assert ours.get("required") == SCHEMA[name].get("required")
    assert ours.get("additionalProperties") == SCHEMA[name].get("additionalProperties")
    for field, schema in SCHEMA[name]["properties"].items():
        if (name, field) not in OUR_OWN:
            assert bare(ours["properties"][field]) == schema, field


def test_a_message_has_every_kind_of_content() -> None:
    content = agent_api.Message.model_json_schema()["properties"]["content"]
    assert (
        content["anyOf"][0]["items"]["discriminator"]
        == (SCHEMA["Message"]["properties"]["content"]["anyOf"][0]["items"]["discriminator"])
    )


def test_what_does_not_fit_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValueError, match="stream") as caught:
        agent_api.AgentRequest.model_validate({"input": [], "stream": "s3cret"})
    assert "s3cret" not in str(caught.value)
