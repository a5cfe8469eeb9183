"""A model service: a provider's models under one name, with the key that the platform keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from agentrun._core.blocking import run
from agentrun._core.model import build
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.credential import Credential
from agentrun.errors import AuthenticationError, ConfigError
from agentrun.model.completion import Completions, ModelCompletionAPI
from agentrun.model.control import ModelControlAPI
from agentrun.model.model import (
    BaseInfo,
    ModelServiceCreateInput,
    ModelServiceImmutableProps,
    ModelServiceListInput,
    ModelServiceMutableProps,
    ModelServicesSystemProps,
    ModelServiceUpdateInput,
    ModelType,
    ProviderSettings,
)

if TYPE_CHECKING:
    from agentrun._core.openai import Completion


class ModelService(
    ModelServiceImmutableProps, ModelServiceMutableProps, ModelServicesSystemProps, Resource, Completions
):
    """A model service of the platform."""

    kind = "ModelService"
    # The credential last used and its secret, so that not every completion asks the platform for it.
    _secret: tuple[str, str] | None = PrivateAttr(default=None)

    @property
    def label(self) -> str:
        """The service's name."""
        return self.model_service_name or ""

    @classmethod
    async def create_async(
        cls, input: ModelServiceCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ModelService:
        """Create a model service from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        wanted = build(ModelServiceCreateInput, input, fields)
        return cls.of(await ModelControlAPI(config).create_model_service_async(wanted), config)

    @classmethod
    def create(
        cls, input: ModelServiceCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ModelService:
        """Create a model service from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        return run(cls.create_async(input, config, **fields))

    @classmethod
    async def delete_by_name_async(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Delete a model service; returns what it was. Raises ResourceNotExistError."""
        return cls.of(await ModelControlAPI(config).delete_model_service_async(model_service_name), config)

    @classmethod
    def delete_by_name(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Delete a model service; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(model_service_name, config))

    @classmethod
    async def update_by_name_async(
        cls,
        model_service_name: str,
        input: ModelServiceUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> ModelService:
        """Change a model service; what is not given stays. Raises ResourceNotExistError."""
        wanted = build(ModelServiceUpdateInput, input, fields)
        return cls.of(await ModelControlAPI(config).update_model_service_async(model_service_name, wanted), config)

    @classmethod
    def update_by_name(
        cls,
        model_service_name: str,
        input: ModelServiceUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> ModelService:
        """Change a model service; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(model_service_name, input, config, **fields))

    @classmethod
    async def get_by_name_async(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Read a model service; raises ResourceNotExistError."""
        return cls.of(await ModelControlAPI(config).get_model_service_async(model_service_name), config)

    @classmethod
    def get_by_name(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Read a model service; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(model_service_name, config))

    @classmethod
    def list_all_async(
        cls,
        *,
        model_type: ModelType | None = None,
        provider: str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[ModelService]:
        """All model services that match; pages are read as they are looked at."""
        filters = ModelServiceListInput(model_type=model_type, provider=provider)
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        model_type: ModelType | None = None,
        provider: str | None = None,
        config: Config | None = None,
    ) -> LazyList[ModelService]:
        """All model services that match; pages are read as they are looked at."""
        filters = ModelServiceListInput(model_type=model_type, provider=provider)
        return LazyList(cls._pages(filters, config))

    @classmethod
    def _pages(cls, filters: ModelServiceListInput, config: Config | None) -> AsyncIterator[ModelService]:
        async def page(number: int, size: int) -> Sequence[ModelService]:
            return await cls.page_async(filters.model_copy(update={"page_number": number, "page_size": size}), config)

        return numbered(page, lambda service: service.model_service_id or service.model_service_name)

    @classmethod
    async def page_async(cls, asked: ModelServiceListInput, config: Config | None = None) -> Sequence[ModelService]:
        """One page of model services."""
        answer = await ModelControlAPI(config).list_model_services_async(asked)
        return [cls.of(item, config) for item in answer.get("items") or ()]

    @classmethod
    def page(cls, asked: ModelServiceListInput, config: Config | None = None) -> Sequence[ModelService]:
        """One page of model services."""
        return run(cls.page_async(asked, config))

    async def update_async(
        self, input: ModelServiceUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ModelService:
        """Change this model service; what is not given stays."""
        return self.update_self(await self.update_by_name_async(self.label, input, self._settings(config), **fields))

    def update(
        self, input: ModelServiceUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ModelService:
        """Change this model service; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> ModelService:
        """Read this model service again."""
        return self.update_self(await self.get_by_name_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> ModelService:
        """Read this model service again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> ModelService:
        """Delete this model service."""
        return self.update_self(await self.delete_by_name_async(self.label, self._settings(config)))

    def delete(self, config: Config | None = None) -> ModelService:
        """Delete this model service."""
        return run(self.delete_async(config))

    # The model behind it

    async def model_info_async(self, config: Config | None = None) -> BaseInfo:
        """Where the model is called and with which key; the model is the first that the service names.

        Raises ConfigError when the service has no URL or no key.
        """
        found = self.provider_settings or ProviderSettings()
        if not found.base_url:
            raise ConfigError(
                f"model service {self.label!r} has no URL",
                hint="Set provider_settings=ProviderSettings(base_url=...)",
            )
        return BaseInfo(
            model=next(iter(found.model_names or ()), None),
            api_key=found.api_key or await self._credential_secret(config),
            base_url=found.base_url,
            headers={},
            provider=self.provider,
        )

    def model_info(self, config: Config | None = None) -> BaseInfo:
        """Where the model is called and with which key; the model is the first that the service names.

        Raises ConfigError when the service has no URL or no key.
        """
        return run(self.model_info_async(config))

    async def _credential_secret(self, config: Config | None) -> str:
        name = self.credential_name or ""
        if self._secret and self._secret[0] == name:
            return self._secret[1]
        secret = (await Credential.get_by_name_async(name, self._settings(config))).credential_secret if name else None
        if not secret:
            raise ConfigError(
                f"model service {self.label!r} has no key",
                hint="Set provider_settings=ProviderSettings(api_key=...), or credential_name to a credential with one",
            )
        self._secret = (name, secret)
        return secret

    async def openai_kwargs_async(self, config: Config | None = None) -> dict[str, Any]:
        """What an OpenAI client of one's own needs: `openai.OpenAI(**service.openai_kwargs())`."""
        info = await self.model_info_async(config)
        return {"api_key": info.api_key, "base_url": info.base_url}

    def openai_kwargs(self, config: Config | None = None) -> dict[str, Any]:
        """What an OpenAI client of one's own needs: `openai.OpenAI(**service.openai_kwargs())`."""
        return run(self.openai_kwargs_async(config))

    async def complete_async(self, arguments: dict[str, Any]) -> Completion:
        """The answer to a request of the protocol; the model is the service's first unless the request names one."""
        config = self._settings(arguments.get("config"))
        info = await self.model_info_async(config)
        api = ModelCompletionAPI(
            api_key=info.api_key or "",
            base_url=info.base_url or "",
            model=arguments.get("model") or info.model or "",
            provider=info.provider or "openai",
            config=config,
        )
        try:
            return await api.complete_async(arguments)
        except AuthenticationError:
            self._secret = None  # The credential may have a new secret by now.
            raise

    def complete(self, arguments: dict[str, Any]) -> Completion:
        """The answer to a request of the protocol; the model is the service's first unless the request names one."""
        return run(self.complete_async(arguments))
