"""A model of the platform by its name."""

from __future__ import annotations

from typing_extensions import NotRequired, TypedDict

from agentrun.config import Config
from agentrun.integration._model import CommonModel
from agentrun.model import BackendType, ModelProxy, ModelService


class ModelArgs(TypedDict):
    """The keywords of `model`."""

    model: NotRequired[str | None]
    backend_type: NotRequired[BackendType | None]
    config: NotRequired[Config | None]


def model(
    input: str | ModelProxy | ModelService,
    *,
    model: str | None = None,
    backend_type: BackendType | None = None,
    config: Config | None = None,
) -> CommonModel:
    """A model service or proxy; `model` is asked instead of the one that it names. Raises ResourceNotExistError."""
    return CommonModel.find(input, model=model, backend_type=backend_type, config=config)
