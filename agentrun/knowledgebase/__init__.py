"""Knowledge bases: documents that are searched by their provider."""

from __future__ import annotations

from agentrun.knowledgebase.client import KnowledgeBaseClient
from agentrun.knowledgebase.control import KnowledgeBaseControlAPI
from agentrun.knowledgebase.data import get_data_api
from agentrun.knowledgebase.knowledgebase import KnowledgeBase, KnowledgeBaseListOutput
from agentrun.knowledgebase.model import (
    ADBProviderSettings,
    ADBRerankModel,
    ADBRetrieveSettings,
    BailianProviderSettings,
    BailianRetrieveSettings,
    Document,
    KnowledgeBaseCreateInput,
    KnowledgeBaseListInput,
    KnowledgeBaseProvider,
    KnowledgeBaseUpdateInput,
    OTSDenseVectorSearchConfig,
    OTSEmbeddingConfiguration,
    OTSFullTextSearchConfig,
    OTSMetadataField,
    OTSModelConfig,
    OTSProviderSettings,
    OTSRerankingConfig,
    OTSRetrieveSettings,
    OTSRRFConfig,
    OTSWeightConfig,
    RagFlowProviderSettings,
    RagFlowRetrieveSettings,
    RetrieveInput,
    RetrieveSettings,
    StoredDocument,
)

# Not in `__all__`: the settings of model services have that name, and both are found at the top.
from agentrun.knowledgebase.model import ProviderSettings as ProviderSettings
from agentrun.knowledgebase.providers.adb import ADBDataAPI
from agentrun.knowledgebase.providers.bailian import BailianDataAPI
from agentrun.knowledgebase.providers.base import KnowledgeBaseDataAPI
from agentrun.knowledgebase.providers.ots import OTSDataAPI
from agentrun.knowledgebase.providers.ragflow import RagFlowDataAPI
from agentrun.knowledgebase.result import MultiRetrieveResult, RetrievedDocument, RetrieveResult

__all__ = [
    "ADBDataAPI",
    "ADBProviderSettings",
    "ADBRerankModel",
    "ADBRetrieveSettings",
    "BailianDataAPI",
    "BailianProviderSettings",
    "BailianRetrieveSettings",
    "Document",
    "KnowledgeBase",
    "KnowledgeBaseClient",
    "KnowledgeBaseControlAPI",
    "KnowledgeBaseCreateInput",
    "KnowledgeBaseDataAPI",
    "KnowledgeBaseListInput",
    "KnowledgeBaseListOutput",
    "KnowledgeBaseProvider",
    "KnowledgeBaseUpdateInput",
    "MultiRetrieveResult",
    "OTSDataAPI",
    "OTSDenseVectorSearchConfig",
    "OTSEmbeddingConfiguration",
    "OTSFullTextSearchConfig",
    "OTSMetadataField",
    "OTSModelConfig",
    "OTSProviderSettings",
    "OTSRRFConfig",
    "OTSRerankingConfig",
    "OTSRetrieveSettings",
    "OTSWeightConfig",
    "RagFlowDataAPI",
    "RagFlowProviderSettings",
    "RagFlowRetrieveSettings",
    "RetrieveInput",
    "RetrieveResult",
    "RetrieveSettings",
    "RetrievedDocument",
    "StoredDocument",
    "get_data_api",
]
