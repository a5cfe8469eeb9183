"""The control operations on knowledge bases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.knowledgebase.model import KnowledgeBaseCreateInput, KnowledgeBaseListInput, KnowledgeBaseUpdateInput

_COLLECTION = "/2025-09-10/agents/knowledgebases"
_ITEM = f"{_COLLECTION}/{{knowledge_base_name}}"
CREATE = Operation("CreateKnowledgeBase", "POST", _COLLECTION)
DELETE = Operation("DeleteKnowledgeBase", "DELETE", _ITEM)
UPDATE = Operation("UpdateKnowledgeBase", "PUT", _ITEM)
GET = Operation("GetKnowledgeBase", "GET", _ITEM)
LIST = Operation("ListKnowledgeBases", "GET", _COLLECTION)


class KnowledgeBaseControlAPI(ControlAPI):
    """One method per operation; each answers the envelope's data in the wire's names."""

    kind = "KnowledgeBase"

    async def create_knowledge_base_async(
        self, input: KnowledgeBaseCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a knowledge base."""
        return await self._call(CREATE, body=input, headers=headers, config=config, label=input.knowledge_base_name)

    def create_knowledge_base(
        self, input: KnowledgeBaseCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a knowledge base."""
        return run(self.create_knowledge_base_async(input, headers, config))

    async def delete_knowledge_base_async(
        self, knowledge_base_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a knowledge base; answers what it was."""
        return await self._call(DELETE, knowledge_base_name, headers=headers, config=config)

    def delete_knowledge_base(
        self, knowledge_base_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a knowledge base; answers what it was."""
        return run(self.delete_knowledge_base_async(knowledge_base_name, headers, config))

    async def update_knowledge_base_async(
        self,
        knowledge_base_name: str,
        input: KnowledgeBaseUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a knowledge base."""
        return await self._call(UPDATE, knowledge_base_name, body=input, headers=headers, config=config)

    def update_knowledge_base(
        self,
        knowledge_base_name: str,
        input: KnowledgeBaseUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a knowledge base."""
        return run(self.update_knowledge_base_async(knowledge_base_name, input, headers, config))

    async def get_knowledge_base_async(
        self, knowledge_base_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a knowledge base."""
        return await self._call(GET, knowledge_base_name, headers=headers, config=config)

    def get_knowledge_base(
        self, knowledge_base_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a knowledge base."""
        return run(self.get_knowledge_base_async(knowledge_base_name, headers, config))

    async def list_knowledge_bases_async(
        self, input: KnowledgeBaseListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of knowledge bases, with their secrets masked."""
        return await self._call(LIST, query=input, headers=headers, config=config)

    def list_knowledge_bases(
        self, input: KnowledgeBaseListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of knowledge bases, with their secrets masked."""
        return run(self.list_knowledge_bases_async(input, headers, config))
