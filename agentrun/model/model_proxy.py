"""A model proxy: one name in front of several models, with limits, fallbacks and what else its policies say."""

from __future__ import annotations

from typing import Any

from agentrun._core.blocking import run
from agentrun._core.managed import Operations
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun.config import Config
from agentrun.model.control import ModelControlAPI
from agentrun.model.data import ModelDataAPI, proxy_place
from agentrun.model.model import (
    ModelProxyCreateInput,
    ModelProxyImmutableProps,
    ModelProxyListInput,
    ModelProxyMutableProps,
    ModelProxySystemProps,
    ModelProxyUpdateInput,
)
from agentrun.model.place import Place
from agentrun.model.policies import ProxyConfig, ProxyConfigEndpoint, ProxyMode
from agentrun.model.resource import ModelResource
from agentrun.model.stats import ModelProxyStats
from agentrun.status import Status


class ModelProxy(
    ModelProxyImmutableProps,
    ModelProxyMutableProps,
    ModelProxySystemProps,
    ModelResource[ModelProxyCreateInput, ModelProxyUpdateInput, ModelProxyListInput],
):
    """A model proxy of the platform.

    With a `credential_name` calls carry the key of that credential, without one they are signed. The model asked is
    the first of the first endpoint where `proxy_mode` is single, and the proxy's name where it is multi, unless a call
    names one.
    """

    kind = "ModelProxy"
    operations = Operations(
        ModelControlAPI,
        ModelProxyCreateInput,
        ModelProxyUpdateInput,
        ModelControlAPI.create_model_proxy_async,
        ModelControlAPI.get_model_proxy_async,
        ModelControlAPI.update_model_proxy_async,
        ModelControlAPI.delete_model_proxy_async,
        ModelControlAPI.list_model_proxies_async,
    )

    @property
    def label(self) -> str:
        """The proxy's name."""
        return self.model_proxy_name or ""

    @classmethod
    async def get_by_name_async(cls, model_proxy_name: str, config: Config | None = None) -> ModelProxy:
        """Read a model proxy; raises ResourceNotExistError."""
        return await cls._read(model_proxy_name, config)

    @classmethod
    def get_by_name(cls, model_proxy_name: str, config: Config | None = None) -> ModelProxy:
        """Read a model proxy; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(model_proxy_name, config))

    @classmethod
    async def update_by_name_async(
        cls,
        model_proxy_name: str,
        input: ModelProxyUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> ModelProxy:
        """Change a model proxy; what is not given stays. Raises ResourceNotExistError."""
        return await cls._change(model_proxy_name, input, config, fields)

    @classmethod
    def update_by_name(
        cls,
        model_proxy_name: str,
        input: ModelProxyUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> ModelProxy:
        """Change a model proxy; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(model_proxy_name, input, config, **fields))

    # The official client spells it so.
    @classmethod
    async def delete_by_name_async(cls, model_Proxy_name: str, config: Config | None = None) -> ModelProxy:
        """Delete a model proxy; returns what it was. Raises ResourceNotExistError."""
        return await cls._remove(model_Proxy_name, config)

    @classmethod
    def delete_by_name(cls, model_Proxy_name: str, config: Config | None = None) -> ModelProxy:
        """Delete a model proxy; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(model_Proxy_name, config))

    @classmethod
    def list_all_async(
        cls, *, proxy_mode: str | None = None, status: Status | None = None, config: Config | None = None
    ) -> AsyncLazyList[ModelProxy]:
        """All model proxies that match; pages are read as they are looked at."""
        return AsyncLazyList(cls._pages(ModelProxyListInput(proxy_mode=proxy_mode, status=status), config))

    @classmethod
    def list_all(
        cls, *, proxy_mode: str | None = None, status: Status | None = None, config: Config | None = None
    ) -> LazyList[ModelProxy]:
        """All model proxies that match; pages are read as they are looked at."""
        return LazyList(cls._pages(ModelProxyListInput(proxy_mode=proxy_mode, status=status), config))

    # What it does

    async def stats_async(self, config: Config | None = None) -> ModelProxyStats:
        """What the proxy has done so far; an extension of the local platform, else UnsupportedError."""
        return await ModelDataAPI(self.label, config=self._settings(config)).stats_async()

    def stats(self, config: Config | None = None) -> ModelProxyStats:
        """What the proxy has done so far; an extension of the local platform, else UnsupportedError."""
        return run(self.stats_async(config))

    async def _place(self, config: Config | None) -> Place:
        name = self.credential_name
        credential = await self._kept.read(name, config) if name else None
        return proxy_place(self.label, self._model, credential, endpoint=self.endpoint, config=config)

    @property
    def _model(self) -> str:
        if self.proxy_mode == ProxyMode.MULTI:
            return self.label
        endpoints = (self.proxy_config or ProxyConfig()).endpoints or [ProxyConfigEndpoint()]
        return next(iter(endpoints[0].model_names or ()), self.label)
