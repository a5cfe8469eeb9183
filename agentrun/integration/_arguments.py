"""The arguments of a tool as a model of pydantic, for frameworks that ask for one and would lose a part of a schema."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model

if TYPE_CHECKING:
    from agentrun.integration._tool import Tool


class Arguments(BaseModel):
    """Arguments that the tool itself checks; the schema is the tool's own, and is not made of fields."""

    model_config = ConfigDict(extra="allow")
    whole: ClassVar[dict[str, Any]] = {}

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of the tool, as it is."""
        return deepcopy(cls.whole)


def arguments_of(tool: Tool) -> type[Arguments]:
    """A model of a tool's arguments; its JSON schema is the tool's."""
    made = create_model(f"{tool.name}_arguments", __base__=Arguments)
    made.whole = {"properties": {}, **tool.parameters}
    return made
