"""Who searches a knowledge base, by its provider."""

from __future__ import annotations

from typing import Any

from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.knowledgebase.model import KnowledgeBaseProvider, ProviderSettings, RetrieveSettings
from agentrun.knowledgebase.providers.adb import ADBDataAPI
from agentrun.knowledgebase.providers.bailian import BailianDataAPI
from agentrun.knowledgebase.providers.base import KnowledgeBaseDataAPI, ProviderDataAPI
from agentrun.knowledgebase.providers.ots import OTSDataAPI
from agentrun.knowledgebase.providers.ragflow import RagFlowDataAPI

_APIS: dict[str, type[ProviderDataAPI[Any, Any]]] = {
    KnowledgeBaseProvider.RAGFLOW.value: RagFlowDataAPI,
    KnowledgeBaseProvider.BAILIAN.value: BailianDataAPI,
    KnowledgeBaseProvider.ADB.value: ADBDataAPI,
    KnowledgeBaseProvider.OTS.value: OTSDataAPI,
}


def get_data_api(
    provider: KnowledgeBaseProvider | str,
    knowledge_base_name: str,
    config: Config | None = None,
    provider_settings: ProviderSettings | dict[str, Any] | None = None,
    retrieve_settings: RetrieveSettings | dict[str, Any] | None = None,
    credential_name: str | None = None,
    *,
    endpoint: str | None = None,
) -> KnowledgeBaseDataAPI:
    """What searches a knowledge base of this provider; raises InvalidInputError when nobody knows the provider.

    `endpoint` replaces the place that the settings or the Config name.
    """
    found = _APIS.get(provider)
    if found is None:
        hint = f"Known are: {', '.join(_APIS)}"
        raise InvalidInputError(f"nobody knows how to search provider {provider!r}", field="provider", hint=hint)
    return found(knowledge_base_name, config, provider_settings, retrieve_settings, credential_name, endpoint=endpoint)
