"""TableStore (OTS): it speaks a protocol of its own, which this package does not."""

from __future__ import annotations

from typing import Any

from agentrun.config import Config
from agentrun.errors import Executed, UnsupportedError
from agentrun.knowledgebase.model import OTSProviderSettings, OTSRetrieveSettings
from agentrun.knowledgebase.providers.base import ProviderDataAPI


class OTSDataAPI(ProviderDataAPI[OTSProviderSettings, OTSRetrieveSettings]):
    """Documents in TableStore; a search raises UnsupportedError, which says what to do."""

    kinds = (OTSProviderSettings, OTSRetrieveSettings)

    async def _search(self, query: str, settings: Config, filters: Any) -> Any:
        where = self.provider_settings
        place = f" at {settings.get_ots_endpoint(where.ots_instance_name)}" if where else ""
        raise UnsupportedError(
            501,
            f"knowledge base {self.knowledge_base_name!r} is in TableStore, which is not searched over plain HTTP",
            executed=Executed.NO,
            hint=f"Search it{place} with TableStore's own client, or keep its documents with RagFlow, Bailian or ADB",
        )
