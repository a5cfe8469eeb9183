"""What all providers have in common: a query goes out, texts with scores come back."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun._core.model import Model
from agentrun.config import Config
from agentrun.errors import ConfigError, InvalidInputError
from agentrun.knowledgebase.model import settings_of
from agentrun.knowledgebase.result import RetrieveResult

P = TypeVar("P", bound=Model)
R = TypeVar("R", bound=Model)


class KnowledgeBaseDataAPI(API):
    """A knowledge base as its provider searches it."""

    def __init__(self, knowledge_base_name: str, config: Config | None = None) -> None:
        super().__init__(config)
        self.knowledge_base_name = knowledge_base_name

    async def _search(self, query: str, settings: Config, filters: Any) -> Any:
        """What the provider found, as its `data`."""
        raise NotImplementedError

    async def retrieve_async(
        self, query: str, config: Config | None = None, metadata_filters: Any = None
    ) -> RetrieveResult:
        """Search; filters are a mapping of fields to the values they must have, or the provider's own form.

        Raises InvalidInputError, ConfigError, AuthenticationError, and what else the provider answers.
        """
        if not query.strip():
            raise InvalidInputError("there is nothing to look for", field="query", hint="Give a query with words in it")
        data = await self._search(query, self._config(config), metadata_filters)
        return RetrieveResult(data=data, query=query, knowledge_base_name=self.knowledge_base_name)

    def retrieve(self, query: str, config: Config | None = None, metadata_filters: Any = None) -> RetrieveResult:
        """Search; filters are a mapping of fields to the values they must have, or the provider's own form.

        Raises InvalidInputError, ConfigError, AuthenticationError, and what else the provider answers.
        """
        return run(self.retrieve_async(query, config, metadata_filters))


class ProviderDataAPI(KnowledgeBaseDataAPI, Generic[P, R]):
    """One provider, by the types of its settings: where the documents are, and how they are searched.

    `endpoint` replaces the place that the settings or the Config name.
    """

    kinds: ClassVar[tuple[type[Model], type[Model]]]

    def __init__(
        self,
        knowledge_base_name: str,
        config: Config | None = None,
        provider_settings: P | dict[str, Any] | None = None,
        retrieve_settings: R | dict[str, Any] | None = None,
        credential_name: str | None = None,
        *,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(knowledge_base_name, config)
        where, how = self.kinds
        self.provider_settings: Any = settings_of(where, provider_settings) if provider_settings else None
        self.retrieve_settings: Any = settings_of(how, retrieve_settings)
        self.credential_name = credential_name
        self.endpoint = endpoint

    def _place(self) -> P:
        """Where the documents are; raises ConfigError when nothing says it."""
        if self.provider_settings is None:
            kind = self.kinds[0]
            needed = ", ".join(f"{name}=..." for name, spec in kind.model_fields.items() if spec.is_required())
            raise ConfigError(
                f"knowledge base {self.knowledge_base_name!r} has no provider_settings",
                hint=f"Update it with {kind.__name__}({needed})",
            )
        place: P = self.provider_settings
        return place

    def _manner(self) -> R:
        """How they are searched."""
        manner: R = self.retrieve_settings
        return manner
