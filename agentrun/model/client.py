"""Models for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import UnsupportedError
from agentrun.model.model import (
    BackendType,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelServiceCreateInput,
    ModelServiceListInput,
    ModelServiceUpdateInput,
)
from agentrun.model.model_service import ModelService

CreateInput: TypeAlias = "ModelServiceCreateInput | ModelProxyCreateInput"
UpdateInput: TypeAlias = "ModelServiceUpdateInput | ModelProxyUpdateInput"
ListInput: TypeAlias = "ModelServiceListInput | ModelProxyListInput"


def _no_proxies() -> UnsupportedError:
    return UnsupportedError(
        501, "ModelProxy arrives with the model plane, not in this version", hint="Use BackendType.SERVICE"
    )


class ModelClient(API):
    """The operations on model services, with a Config given once; proxies raise UnsupportedError so far."""

    async def create_async(self, input: CreateInput, config: Config | None = None) -> ModelService:
        """Create a model service; raises ResourceAlreadyExistError when the name is taken."""
        if isinstance(input, ModelProxyCreateInput):
            raise _no_proxies()
        return await ModelService.create_async(input, self._config(config))

    def create(self, input: CreateInput, config: Config | None = None) -> ModelService:
        """Create a model service; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config))

    async def delete_async(
        self, name: str, backend_type: BackendType | None = None, config: Config | None = None
    ) -> ModelService:
        """Delete a model service; returns what it was."""
        if backend_type == BackendType.PROXY:
            raise _no_proxies()
        return await ModelService.delete_by_name_async(name, self._config(config))

    def delete(self, name: str, backend_type: BackendType | None = None, config: Config | None = None) -> ModelService:
        """Delete a model service; returns what it was."""
        return run(self.delete_async(name, backend_type, config))

    async def update_async(self, name: str, input: UpdateInput, config: Config | None = None) -> ModelService:
        """Change a model service; what is not given stays."""
        if isinstance(input, ModelProxyUpdateInput):
            raise _no_proxies()
        return await ModelService.update_by_name_async(name, input, self._config(config))

    def update(self, name: str, input: UpdateInput, config: Config | None = None) -> ModelService:
        """Change a model service; what is not given stays."""
        return run(self.update_async(name, input, config))

    async def get_async(
        self, name: str, backend_type: BackendType | None = None, config: Config | None = None
    ) -> ModelService:
        """Read a model service."""
        if backend_type == BackendType.PROXY:
            raise _no_proxies()
        return await ModelService.get_by_name_async(name, self._config(config))

    def get(self, name: str, backend_type: BackendType | None = None, config: Config | None = None) -> ModelService:
        """Read a model service."""
        return run(self.get_async(name, backend_type, config))

    async def list_async(self, input: ListInput, config: Config | None = None) -> Sequence[ModelService]:
        """One page of model services."""
        if isinstance(input, ModelProxyListInput):
            raise _no_proxies()
        return await ModelService.page_async(input, self._config(config))

    def list(self, input: ListInput, config: Config | None = None) -> Sequence[ModelService]:
        """One page of model services."""
        return run(self.list_async(input, config))
