"""Documents that can be searched: the platform knows where they are, their provider finds what fits a query."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from agentrun._core.blocking import gather, run
from agentrun._core.model import build
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.errors import AgentRunError, InvalidInputError
from agentrun.knowledgebase.control import KnowledgeBaseControlAPI
from agentrun.knowledgebase.data import get_data_api
from agentrun.knowledgebase.documents import DocumentsAPI, documents_of
from agentrun.knowledgebase.model import (
    Document,
    KnowledgeBaseCreateInput,
    KnowledgeBaseImmutableProps,
    KnowledgeBaseListInput,
    KnowledgeBaseMutableProps,
    KnowledgeBaseProvider,
    KnowledgeBaseSystemProps,
    KnowledgeBaseUpdateInput,
    StoredDocument,
)
from agentrun.knowledgebase.result import MultiRetrieveResult, RetrieveResult, failed


class KnowledgeBaseListOutput(KnowledgeBaseMutableProps, KnowledgeBaseImmutableProps, KnowledgeBaseSystemProps):
    """A knowledge base as a list shows it: passwords in its settings are masked."""

    _config: Config | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, data: Any, config: Config | None) -> KnowledgeBaseListOutput:
        """The item out of the service's answer, with the Config that later calls use."""
        item = cls.from_wire(data)
        item._config = config
        return item

    async def to_knowledge_base_async(self, config: Config | None = None) -> KnowledgeBase:
        """The knowledge base itself."""
        return await KnowledgeBase.get_by_name_async(self.knowledge_base_name or "", config or self._config)

    def to_knowledge_base(self, config: Config | None = None) -> KnowledgeBase:
        """The knowledge base itself."""
        return run(self.to_knowledge_base_async(config))


class KnowledgeBase(KnowledgeBaseMutableProps, KnowledgeBaseImmutableProps, KnowledgeBaseSystemProps, Resource):
    """Documents that their provider searches; the platform knows where they are."""

    kind = "KnowledgeBase"

    @property
    def label(self) -> str:
        """The knowledge base's name."""
        return self.knowledge_base_name or ""

    @classmethod
    async def create_async(
        cls, input: KnowledgeBaseCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> KnowledgeBase:
        """Create a knowledge base from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        wanted = build(KnowledgeBaseCreateInput, input, fields)
        return cls.of(await KnowledgeBaseControlAPI(config).create_knowledge_base_async(wanted), config)

    @classmethod
    def create(
        cls, input: KnowledgeBaseCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> KnowledgeBase:
        """Create a knowledge base from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        return run(cls.create_async(input, config, **fields))

    @classmethod
    async def get_by_name_async(cls, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Read a knowledge base; raises ResourceNotExistError."""
        return cls.of(await KnowledgeBaseControlAPI(config).get_knowledge_base_async(knowledge_base_name), config)

    @classmethod
    def get_by_name(cls, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Read a knowledge base; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(knowledge_base_name, config))

    @classmethod
    async def update_by_name_async(
        cls,
        knowledge_base_name: str,
        input: KnowledgeBaseUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> KnowledgeBase:
        """Change a knowledge base; what is not given stays. Raises ResourceNotExistError."""
        wanted = build(KnowledgeBaseUpdateInput, input, fields)
        return cls.of(
            await KnowledgeBaseControlAPI(config).update_knowledge_base_async(knowledge_base_name, wanted), config
        )

    @classmethod
    def update_by_name(
        cls,
        knowledge_base_name: str,
        input: KnowledgeBaseUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> KnowledgeBase:
        """Change a knowledge base; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(knowledge_base_name, input, config, **fields))

    @classmethod
    async def delete_by_name_async(cls, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Delete a knowledge base; returns what it was. Raises ResourceNotExistError."""
        return cls.of(await KnowledgeBaseControlAPI(config).delete_knowledge_base_async(knowledge_base_name), config)

    @classmethod
    def delete_by_name(cls, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Delete a knowledge base; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(knowledge_base_name, config))

    @classmethod
    def list_all_async(
        cls,
        *,
        provider: KnowledgeBaseProvider | str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[KnowledgeBaseListOutput]:
        """All knowledge bases that match; pages are read as they are looked at."""
        filters = KnowledgeBaseListInput(provider=provider)
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        provider: KnowledgeBaseProvider | str | None = None,
        config: Config | None = None,
    ) -> LazyList[KnowledgeBaseListOutput]:
        """All knowledge bases that match; pages are read as they are looked at."""
        filters = KnowledgeBaseListInput(provider=provider)
        return LazyList(cls._pages(filters, config))

    @classmethod
    def _pages(cls, filters: KnowledgeBaseListInput, config: Config | None) -> AsyncIterator[KnowledgeBaseListOutput]:
        async def page(number: int, size: int) -> Sequence[KnowledgeBaseListOutput]:
            asked = filters.model_copy(update={"page_number": number, "page_size": size})
            answer = await KnowledgeBaseControlAPI(config).list_knowledge_bases_async(asked)
            return [KnowledgeBaseListOutput.of(item, config) for item in answer.get("items") or ()]

        return numbered(page, lambda item: item.knowledge_base_id)

    async def update_async(
        self, input: KnowledgeBaseUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> KnowledgeBase:
        """Change this knowledge base; what is not given stays."""
        return self.update_self(await self.update_by_name_async(self.label, input, self._settings(config), **fields))

    def update(
        self, input: KnowledgeBaseUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> KnowledgeBase:
        """Change this knowledge base; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> KnowledgeBase:
        """Read this knowledge base again."""
        return self.update_self(await self.get_by_name_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> KnowledgeBase:
        """Read this knowledge base again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> KnowledgeBase:
        """Delete this knowledge base."""
        return self.update_self(await self.delete_by_name_async(self.label, self._settings(config)))

    def delete(self, config: Config | None = None) -> KnowledgeBase:
        """Delete this knowledge base."""
        return run(self.delete_async(config))

    # Searching

    async def retrieve_async(
        self, query: str, config: Config | None = None, metadata_filters: Any = None
    ) -> RetrieveResult:
        """What fits a query, the best first; `documents` of the result has the same form for every provider.

        `metadata_filters` are fields with the values they must have, or the provider's own form. Raises ConfigError,
        InvalidInputError, UnsupportedError for providers that are not reached by HTTP, and what the provider answers.
        """
        settings = self._settings(config)
        api = get_data_api(
            self.provider or "",
            self.label,
            settings,
            self.provider_settings,
            self.retrieve_settings,
            self.credential_name,
            endpoint=self.endpoint,
        )
        return await api.retrieve_async(query, metadata_filters=metadata_filters)

    def retrieve(self, query: str, config: Config | None = None, metadata_filters: Any = None) -> RetrieveResult:
        """What fits a query, the best first; `documents` of the result has the same form for every provider.

        `metadata_filters` are fields with the values they must have, or the provider's own form. Raises ConfigError,
        InvalidInputError, UnsupportedError for providers that are not reached by HTTP, and what the provider answers.
        """
        return run(self.retrieve_async(query, config, metadata_filters))

    @classmethod
    async def multi_retrieve_async(
        cls,
        query: str,
        knowledge_base_names: Sequence[str],
        config: Config | None = None,
        metadata_filters: Any = None,
    ) -> MultiRetrieveResult:
        """What fits a query in several knowledge bases, by their names.

        One that cannot be searched has its error beside the results of the others, and in `errors`. The asynchronous
        form searches all at the same time, the synchronous one in turn.
        """
        if isinstance(knowledge_base_names, str):
            raise InvalidInputError("knowledge_base_names must be a list of names", field="knowledge_base_names")
        names = list(dict.fromkeys(knowledge_base_names))
        errors: dict[str, AgentRunError] = {}

        async def search(name: str) -> RetrieveResult:
            try:
                found = await cls.get_by_name_async(name, config)
                return await found.retrieve_async(query, metadata_filters=metadata_filters)
            except AgentRunError as error:
                errors[name] = error
                return failed(name, query, error)

        return MultiRetrieveResult(query, dict(zip(names, await gather(map(search, names)), strict=True)), errors)

    @classmethod
    def multi_retrieve(
        cls,
        query: str,
        knowledge_base_names: Sequence[str],
        config: Config | None = None,
        metadata_filters: Any = None,
    ) -> MultiRetrieveResult:
        """What fits a query in several knowledge bases, by their names.

        One that cannot be searched has its error beside the results of the others, and in `errors`. The asynchronous
        form searches all at the same time, the synchronous one in turn.
        """
        return run(cls.multi_retrieve_async(query, knowledge_base_names, config, metadata_filters))

    # Documents of the local platform

    async def add_documents_async(
        self, documents: Iterable[Document | Mapping[str, Any] | str | Path], config: Config | None = None
    ) -> list[StoredDocument]:
        """Put documents into the index of the local platform, which is searched from now on instead of the provider.

        Each is a text, a Document or its fields, or the path of a text file or of a folder with some. Raises
        InvalidInputError, and UnsupportedError on the cloud, where documents are uploaded to their provider.
        """
        answer = await self._documents(config).add(list(documents_of(documents)))
        self.endpoint = answer.get("endpoint")
        return [StoredDocument.from_wire(each) for each in answer["documents"]]

    def add_documents(
        self, documents: Iterable[Document | Mapping[str, Any] | str | Path], config: Config | None = None
    ) -> list[StoredDocument]:
        """Put documents into the index of the local platform, which is searched from now on instead of the provider.

        Each is a text, a Document or its fields, or the path of a text file or of a folder with some. Raises
        InvalidInputError, and UnsupportedError on the cloud, where documents are uploaded to their provider.
        """
        return run(self.add_documents_async(documents, config))

    async def list_documents_async(self, config: Config | None = None) -> list[StoredDocument]:
        """The documents in the index of the local platform; raises UnsupportedError on the cloud."""
        answer = await self._documents(config).list()
        return [StoredDocument.from_wire(each) for each in answer["documents"]]

    def list_documents(self, config: Config | None = None) -> list[StoredDocument]:
        """The documents in the index of the local platform; raises UnsupportedError on the cloud."""
        return run(self.list_documents_async(config))

    async def delete_document_async(self, document_id: str, config: Config | None = None) -> StoredDocument:
        """Take a document out of the index of the local platform; returns what it was.

        Raises ResourceNotExistError, and UnsupportedError on the cloud.
        """
        return StoredDocument.from_wire(await self._documents(config).delete(document_id))

    def delete_document(self, document_id: str, config: Config | None = None) -> StoredDocument:
        """Take a document out of the index of the local platform; returns what it was.

        Raises ResourceNotExistError, and UnsupportedError on the cloud.
        """
        return run(self.delete_document_async(document_id, config))

    def _documents(self, config: Config | None) -> DocumentsAPI:
        return DocumentsAPI(self.label, self._settings(config))
