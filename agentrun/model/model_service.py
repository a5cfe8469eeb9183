"""A model service: a provider's models under one name, with the key that the platform keeps."""

from __future__ import annotations

from typing import Any

from agentrun._core.blocking import run
from agentrun._core.managed import Operations
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun.config import Config
from agentrun.errors import ConfigError
from agentrun.model.control import ModelControlAPI
from agentrun.model.model import (
    ModelServiceCreateInput,
    ModelServiceImmutableProps,
    ModelServiceListInput,
    ModelServiceMutableProps,
    ModelServicesSystemProps,
    ModelServiceUpdateInput,
    ModelType,
    ProviderSettings,
)
from agentrun.model.place import Place
from agentrun.model.provider_keys import VARIABLES, provider_key
from agentrun.model.resource import ModelResource


class ModelService(
    ModelServiceImmutableProps,
    ModelServiceMutableProps,
    ModelServicesSystemProps,
    ModelResource[ModelServiceCreateInput, ModelServiceUpdateInput, ModelServiceListInput],
):
    """A model service of the platform.

    Its key is `provider_settings.api_key`, or that of the credential that `credential_name` names, or the one that the
    environment has for the provider.
    """

    kind = "ModelService"
    operations = Operations(
        ModelControlAPI,
        ModelServiceCreateInput,
        ModelServiceUpdateInput,
        ModelControlAPI.create_model_service_async,
        ModelControlAPI.get_model_service_async,
        ModelControlAPI.update_model_service_async,
        ModelControlAPI.delete_model_service_async,
        ModelControlAPI.list_model_services_async,
    )

    @property
    def label(self) -> str:
        """The service's name."""
        return self.model_service_name or ""

    @classmethod
    async def get_by_name_async(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Read a model service; raises ResourceNotExistError."""
        return await cls._read(model_service_name, config)

    @classmethod
    def get_by_name(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Read a model service; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(model_service_name, config))

    @classmethod
    async def update_by_name_async(
        cls,
        model_service_name: str,
        input: ModelServiceUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> ModelService:
        """Change a model service; what is not given stays. Raises ResourceNotExistError."""
        return await cls._change(model_service_name, input, config, fields)

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
    async def delete_by_name_async(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Delete a model service; returns what it was. Raises ResourceNotExistError."""
        return await cls._remove(model_service_name, config)

    @classmethod
    def delete_by_name(cls, model_service_name: str, config: Config | None = None) -> ModelService:
        """Delete a model service; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(model_service_name, config))

    @classmethod
    def list_all_async(
        cls,
        *,
        model_type: ModelType | None = None,
        provider: str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[ModelService]:
        """All model services that match; pages are read as they are looked at."""
        return AsyncLazyList(cls._pages(ModelServiceListInput(model_type=model_type, provider=provider), config))

    @classmethod
    def list_all(
        cls,
        *,
        model_type: ModelType | None = None,
        provider: str | None = None,
        config: Config | None = None,
    ) -> LazyList[ModelService]:
        """All model services that match; pages are read as they are looked at."""
        return LazyList(cls._pages(ModelServiceListInput(model_type=model_type, provider=provider), config))

    # Where it is called

    async def _place(self, config: Config | None) -> Place:
        settings = self.provider_settings or ProviderSettings()
        # Who may use a credential need not be given it, where the platform can use it for them.
        if self.endpoint and (_is_masked(settings) or (self.credential_name and not settings.api_key)):
            return self._at(f"{self.endpoint}/v1", None, settings)
        return await self._own_place(config)

    async def _own_place(self, config: Config | None) -> Place:
        if _is_masked(self.provider_settings or ProviderSettings()):
            await self.get_async(config)
        settings = self.provider_settings or ProviderSettings()
        if not settings.base_url:
            raise ConfigError(
                f"model service {self.label!r} has no URL",
                hint="Set provider_settings=ProviderSettings(base_url=...)",
            )
        return self._at(settings.base_url, settings.api_key or await self._other_key(config), settings)

    def _at(self, base_url: str, api_key: str | None, settings: ProviderSettings) -> Place:
        return Place(base_url, api_key, next(iter(settings.model_names or ()), None), self.provider)

    async def _other_key(self, config: Config | None) -> str:
        if self.credential_name:
            return (await self._kept.read(self.credential_name, config)).credential_secret or ""
        if found := provider_key(self.provider):
            return found
        variables = "".join(f", or the variable {name}" for name in VARIABLES.get(self.provider or "", ()))
        raise ConfigError(
            f"model service {self.label!r} has no key",
            hint=f"Set provider_settings=ProviderSettings(api_key=...), or credential_name{variables}",
        )


def _is_masked(settings: ProviderSettings) -> bool:
    # Lists show keys as stars.
    return bool(settings.api_key) and not (settings.api_key or "").strip("*")
