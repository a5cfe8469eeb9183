"""Knowledge bases for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun._core.model import build
from agentrun.config import Config
from agentrun.knowledgebase.control import KnowledgeBaseControlAPI
from agentrun.knowledgebase.knowledgebase import KnowledgeBase, KnowledgeBaseListOutput
from agentrun.knowledgebase.model import KnowledgeBaseCreateInput, KnowledgeBaseListInput, KnowledgeBaseUpdateInput


class KnowledgeBaseClient(API):
    """The operations on knowledge bases, with a Config given once."""

    async def create_async(
        self, input: KnowledgeBaseCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> KnowledgeBase:
        """Create a knowledge base; raises ResourceAlreadyExistError when the name is taken."""
        return await KnowledgeBase.create_async(input, self._config(config), **fields)

    def create(
        self, input: KnowledgeBaseCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> KnowledgeBase:
        """Create a knowledge base; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config, **fields))

    async def delete_async(self, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Delete a knowledge base; returns what it was."""
        return await KnowledgeBase.delete_by_name_async(knowledge_base_name, self._config(config))

    def delete(self, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Delete a knowledge base; returns what it was."""
        return run(self.delete_async(knowledge_base_name, config))

    async def update_async(
        self,
        knowledge_base_name: str,
        input: KnowledgeBaseUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> KnowledgeBase:
        """Change a knowledge base; what is not given stays."""
        return await KnowledgeBase.update_by_name_async(knowledge_base_name, input, self._config(config), **fields)

    def update(
        self,
        knowledge_base_name: str,
        input: KnowledgeBaseUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> KnowledgeBase:
        """Change a knowledge base; what is not given stays."""
        return run(self.update_async(knowledge_base_name, input, config, **fields))

    async def get_async(self, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Read a knowledge base."""
        return await KnowledgeBase.get_by_name_async(knowledge_base_name, self._config(config))

    def get(self, knowledge_base_name: str, config: Config | None = None) -> KnowledgeBase:
        """Read a knowledge base."""
        return run(self.get_async(knowledge_base_name, config))

    async def list_async(
        self, input: KnowledgeBaseListInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[KnowledgeBaseListOutput]:
        """One page of knowledge bases, with their secrets masked."""
        wanted = build(KnowledgeBaseListInput, input, fields)
        settings = self._config(config)
        page = await KnowledgeBaseControlAPI(settings).list_knowledge_bases_async(wanted)
        return [KnowledgeBaseListOutput.of(item, settings) for item in page.get("items") or ()]

    def list(
        self, input: KnowledgeBaseListInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[KnowledgeBaseListOutput]:
        """One page of knowledge bases, with their secrets masked."""
        return run(self.list_async(input, config, **fields))
