"""Models for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, TypeAlias, overload

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun.config import Config
from agentrun.errors import ResourceNotExistError
from agentrun.model.control import ModelControlAPI
from agentrun.model.model import (
    BackendType,
    ModelProvider,
    ModelProviderListInput,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelServiceCreateInput,
    ModelServiceListInput,
    ModelServiceUpdateInput,
    ModelType,
)
from agentrun.model.model_proxy import ModelProxy
from agentrun.model.model_service import ModelService

CreateInput: TypeAlias = "ModelServiceCreateInput | ModelProxyCreateInput"
UpdateInput: TypeAlias = "ModelServiceUpdateInput | ModelProxyUpdateInput"
ListInput: TypeAlias = "ModelServiceListInput | ModelProxyListInput"
Found: TypeAlias = "ModelService | ModelProxy"


class ModelClient(API):
    """The operations on model services and model proxies, with a Config given once.

    Which of the two is meant follows from the input, or from `backend_type`. Without one the official client reads the
    service and deletes the proxy where there are both of one name, and so does this one; name it where that can be.
    """

    @overload
    async def create_async(self, input: ModelServiceCreateInput, config: Config | None = None) -> ModelService: ...

    @overload
    async def create_async(self, input: ModelProxyCreateInput, config: Config | None = None) -> ModelProxy: ...

    @overload
    async def create_async(self, input: CreateInput, config: Config | None = None) -> Found: ...

    async def create_async(self, input: CreateInput, config: Config | None = None) -> Found:
        """Create a model service or a model proxy; raises ResourceAlreadyExistError when the name is taken."""
        if isinstance(input, ModelProxyCreateInput):
            return await ModelProxy.create_async(input, self._config(config))
        return await ModelService.create_async(input, self._config(config))

    @overload
    def create(self, input: ModelServiceCreateInput, config: Config | None = None) -> ModelService: ...

    @overload
    def create(self, input: ModelProxyCreateInput, config: Config | None = None) -> ModelProxy: ...

    def create(self, input: CreateInput, config: Config | None = None) -> Found:
        """Create a model service or a model proxy; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config))

    @overload
    async def delete_async(
        self, name: str, backend_type: Literal[BackendType.SERVICE], config: Config | None = None
    ) -> ModelService: ...

    @overload
    async def delete_async(
        self, name: str, backend_type: Literal[BackendType.PROXY], config: Config | None = None
    ) -> ModelProxy: ...

    @overload
    async def delete_async(
        self, name: str, backend_type: BackendType | None = None, config: Config | None = None
    ) -> Found: ...

    async def delete_async(
        self, name: str, backend_type: BackendType | None = None, config: Config | None = None
    ) -> Found:
        """Delete a model; without `backend_type` the proxy of that name, else the service. Returns what it was."""
        settings = self._config(config)
        if backend_type != BackendType.SERVICE:
            try:
                return await ModelProxy.delete_by_name_async(name, settings)
            except ResourceNotExistError:
                if backend_type == BackendType.PROXY:
                    raise
        return await ModelService.delete_by_name_async(name, settings)

    @overload
    def delete(
        self, name: str, backend_type: Literal[BackendType.SERVICE], config: Config | None = None
    ) -> ModelService: ...

    @overload
    def delete(
        self, name: str, backend_type: Literal[BackendType.PROXY], config: Config | None = None
    ) -> ModelProxy: ...

    @overload
    def delete(self, name: str, backend_type: BackendType | None = None, config: Config | None = None) -> Found: ...

    def delete(self, name: str, backend_type: BackendType | None = None, config: Config | None = None) -> Found:
        """Delete a model; without `backend_type` the proxy of that name, else the service. Returns what it was."""
        return run(self.delete_async(name, backend_type, config))

    @overload
    async def update_async(
        self, name: str, input: ModelServiceUpdateInput, config: Config | None = None
    ) -> ModelService: ...

    @overload
    async def update_async(
        self, name: str, input: ModelProxyUpdateInput, config: Config | None = None
    ) -> ModelProxy: ...

    @overload
    async def update_async(self, name: str, input: UpdateInput, config: Config | None = None) -> Found: ...

    async def update_async(self, name: str, input: UpdateInput, config: Config | None = None) -> Found:
        """Change a model service or a model proxy; what is not given stays."""
        if isinstance(input, ModelProxyUpdateInput):
            return await ModelProxy.update_by_name_async(name, input, self._config(config))
        return await ModelService.update_by_name_async(name, input, self._config(config))

    @overload
    def update(self, name: str, input: ModelServiceUpdateInput, config: Config | None = None) -> ModelService: ...

    @overload
    def update(self, name: str, input: ModelProxyUpdateInput, config: Config | None = None) -> ModelProxy: ...

    def update(self, name: str, input: UpdateInput, config: Config | None = None) -> Found:
        """Change a model service or a model proxy; what is not given stays."""
        return run(self.update_async(name, input, config))

    @overload
    async def get_async(
        self, name: str, backend_type: Literal[BackendType.SERVICE], config: Config | None = None
    ) -> ModelService: ...

    @overload
    async def get_async(
        self, name: str, backend_type: Literal[BackendType.PROXY], config: Config | None = None
    ) -> ModelProxy: ...

    @overload
    async def get_async(
        self, name: str, backend_type: BackendType | None = None, config: Config | None = None
    ) -> Found: ...

    async def get_async(
        self, name: str, backend_type: BackendType | None = None, config: Config | None = None
    ) -> Found:
        """Read a model; without `backend_type` the service of that name, else the proxy."""
        settings = self._config(config)
        if backend_type != BackendType.PROXY:
            try:
                return await ModelService.get_by_name_async(name, settings)
            except ResourceNotExistError:
                if backend_type == BackendType.SERVICE:
                    raise
        return await ModelProxy.get_by_name_async(name, settings)

    @overload
    def get(
        self, name: str, backend_type: Literal[BackendType.SERVICE], config: Config | None = None
    ) -> ModelService: ...

    @overload
    def get(self, name: str, backend_type: Literal[BackendType.PROXY], config: Config | None = None) -> ModelProxy: ...

    @overload
    def get(self, name: str, backend_type: BackendType | None = None, config: Config | None = None) -> Found: ...

    def get(self, name: str, backend_type: BackendType | None = None, config: Config | None = None) -> Found:
        """Read a model; without `backend_type` the service of that name, else the proxy."""
        return run(self.get_async(name, backend_type, config))

    @overload
    async def list_async(
        self, input: ModelServiceListInput, config: Config | None = None
    ) -> Sequence[ModelService]: ...

    @overload
    async def list_async(self, input: ModelProxyListInput, config: Config | None = None) -> Sequence[ModelProxy]: ...

    async def list_async(self, input: ListInput, config: Config | None = None) -> Sequence[Found]:
        """One page of model services or model proxies."""
        if isinstance(input, ModelProxyListInput):
            return await ModelProxy.page_async(input, self._config(config))
        return await ModelService.page_async(input, self._config(config))

    @overload
    def list(self, input: ModelServiceListInput, config: Config | None = None) -> Sequence[ModelService]: ...

    @overload
    def list(self, input: ModelProxyListInput, config: Config | None = None) -> Sequence[ModelProxy]: ...

    def list(self, input: ListInput, config: Config | None = None) -> Sequence[Found]:
        """One page of model services or model proxies."""
        return run(self.list_async(input, config))

    def list_providers_async(
        self,
        *,
        provider: str | None = None,
        model_type: ModelType | None = None,
        model_name: str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[ModelProvider]:
        """The providers of models, once for each type of models; pages are read as they are looked at."""
        asked = ModelProviderListInput(provider=provider, model_type=model_type, model_name=model_name)
        return AsyncLazyList(self._providers(asked, config))

    def list_providers(
        self,
        *,
        provider: str | None = None,
        model_type: ModelType | None = None,
        model_name: str | None = None,
        config: Config | None = None,
    ) -> LazyList[ModelProvider]:
        """The providers of models, once for each type of models; pages are read as they are looked at."""
        asked = ModelProviderListInput(provider=provider, model_type=model_type, model_name=model_name)
        return LazyList(self._providers(asked, config))

    def _providers(self, asked: ModelProviderListInput, config: Config | None) -> AsyncIterator[ModelProvider]:
        api = ModelControlAPI(self._config(config))

        async def page(number: int, size: int) -> Sequence[ModelProvider]:
            numbered_page = asked.model_copy(update={"page_number": number, "page_size": size})
            answer = await api.list_model_providers_async(numbered_page)
            return [ModelProvider.from_wire(item) for item in answer.get("items") or ()]

        return numbered(page, lambda found: (found.provider_name, found.model_type))
