"""What model services and model proxies have in common: they are managed alike, and can be asked."""

from __future__ import annotations

from typing import TypeVar

from pydantic import PrivateAttr

from agentrun._core.managed import Managed
from agentrun._core.model import Model, PageableInput, UpdateInput
from agentrun.model.model_api import ModelAPI
from agentrun.model.place import KeptCredential, Located

C = TypeVar("C", bound=Model)
U = TypeVar("U", bound=UpdateInput)
L = TypeVar("L", bound=PageableInput)


class ModelResource(Managed[C, U, L], Located, ModelAPI):
    """A model of the platform, by the types of its inputs: to create it, to change it, to list it."""

    _kept: KeptCredential = PrivateAttr(default_factory=KeptCredential)
