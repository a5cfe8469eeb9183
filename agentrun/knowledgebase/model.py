"""What travels about knowledge bases."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

from pydantic import Field, model_validator

from agentrun._core.model import M, Model, PageableInput, UpdateInput


class KnowledgeBaseProvider(str, Enum):
    """Where the documents are, and who searches them."""

    RAGFLOW = "ragflow"
    BAILIAN = "bailian"
    ADB = "adb"
    OTS = "ots"


class RagFlowProviderSettings(Model):
    """A RagFlow server and its data sets; its API key is in the knowledge base's credential."""

    base_url: str
    dataset_ids: list[str]


class RagFlowRetrieveSettings(Model):
    """How RagFlow searches; similarities and weights are from 0 to 1."""

    similarity_threshold: float | None = None
    vector_similarity_weight: float | None = None
    cross_languages: list[str] | None = None


class BailianProviderSettings(Model):
    """A workspace of Model Studio and its indexes."""

    workspace_id: str
    index_ids: list[str]


class BailianRetrieveSettings(Model):
    """How Model Studio searches each index."""

    dense_similarity_top_k: int | None = None
    sparse_similarity_top_k: int | None = None
    rerank_min_score: float | None = None
    rerank_top_n: int | None = None


class ADBProviderSettings(Model):
    """An instance of AnalyticDB for PostgreSQL; the collection has the name of the knowledge base."""

    db_instance_id: str
    namespace: str
    namespace_password: str = Field(repr=False)
    embedding_model: str | None = None
    metrics: str | None = None
    metadata: str | None = None


class ADBRerankModel(Model):
    """The model that puts results in order."""

    name: str
    instruct: str | None = None


class ADBRetrieveSettings(Model):
    """How AnalyticDB searches; `filter` is a condition as in a WHERE clause."""

    top_k: int | None = None
    use_full_text_retrieval: bool | None = None
    rerank_factor: float | None = None
    rerank_model: ADBRerankModel | None = None
    recall_window: list[int] | None = None
    hybrid_search: str | None = None
    hybrid_search_args: dict[str, Any] | None = None
    filter: str | None = None


class OTSMetadataField(Model):
    """A field of the documents' metadata."""

    name: str
    type: str


class OTSEmbeddingConfiguration(Model):
    """The model that turns texts into vectors."""

    provider: str
    model: str
    dimension: int
    url: str | None = None
    api_key: str | None = Field(default=None, repr=False)


class OTSProviderSettings(Model):
    """An instance of TableStore."""

    ots_instance_name: str
    tags: list[str] | None = None
    metadata: list[OTSMetadataField] | None = None
    embedding_configuration: OTSEmbeddingConfiguration | None = None


class OTSDenseVectorSearchConfig(Model):
    """How many results the search by vectors gives."""

    number_of_results: int | None = None


class OTSFullTextSearchConfig(Model):
    """How many results the search by words gives."""

    number_of_results: int | None = None


class OTSRRFConfig(Model):
    """Results put in order by their ranks."""

    dense_vector_search_weight: float | None = None
    full_text_search_weight: float | None = None
    k: int | None = None


class OTSWeightConfig(Model):
    """Results put in order by their weighted scores."""

    dense_vector_search_weight: float | None = None
    full_text_search_weight: float | None = None


class OTSModelConfig(Model):
    """Results put in order by a model."""

    provider: str | None = None
    model: str | None = None


class OTSRerankingConfig(Model):
    """How results are put in order."""

    type: str | None = None
    number_of_results: int | None = None
    rrf_configuration: OTSRRFConfig | None = None
    weight_configuration: OTSWeightConfig | None = None
    model_configuration: OTSModelConfig | None = None


class OTSRetrieveSettings(Model):
    """How TableStore searches."""

    search_type: list[str] | None = None
    dense_vector_search_configuration: OTSDenseVectorSearchConfig | None = None
    full_text_search_configuration: OTSFullTextSearchConfig | None = None
    reranking_configuration: OTSRerankingConfig | None = None
    filter: dict[str, Any] | None = None


ProviderSettings: TypeAlias = (
    RagFlowProviderSettings | BailianProviderSettings | ADBProviderSettings | OTSProviderSettings
)
RetrieveSettings: TypeAlias = (
    RagFlowRetrieveSettings | BailianRetrieveSettings | ADBRetrieveSettings | OTSRetrieveSettings
)
# Which settings belong to which provider: where its documents are, and how it searches them.
SETTINGS: dict[str, tuple[type[Model], type[Model]]] = {
    KnowledgeBaseProvider.RAGFLOW.value: (RagFlowProviderSettings, RagFlowRetrieveSettings),
    KnowledgeBaseProvider.BAILIAN.value: (BailianProviderSettings, BailianRetrieveSettings),
    KnowledgeBaseProvider.ADB.value: (ADBProviderSettings, ADBRetrieveSettings),
    KnowledgeBaseProvider.OTS.value: (OTSProviderSettings, OTSRetrieveSettings),
}


def settings_of(kind: type[M], given: Model | dict[str, Any] | None) -> M:
    """Settings of one kind out of what a knowledge base holds, in Python's or in the wire's names."""
    if isinstance(given, kind):
        return given
    values = given.to_wire() if isinstance(given, Model) else given or {}
    by_name = bool(kind.model_fields.keys() & values.keys() - {spec.alias for spec in kind.model_fields.values()})
    return kind(**values) if by_name else kind.from_wire(values)


class KnowledgeBaseMutableProps(Model):
    """What an update may change."""

    description: str | None = None
    credential_name: str | None = None
    provider_settings: ProviderSettings | dict[str, Any] | None = None
    retrieve_settings: RetrieveSettings | dict[str, Any] | None = None


class KnowledgeBaseImmutableProps(Model):
    """What stays as it was created."""

    knowledge_base_name: str | None = None
    provider: KnowledgeBaseProvider | str | None = None
    workspace_id: str | None = None


class KnowledgeBaseSystemProps(Model):
    """What the service adds; `endpoint` is where the local platform searches, once it has documents."""

    knowledge_base_id: str | None = None
    created_at: str | None = None
    last_updated_at: str | None = None
    endpoint: str | None = None


class KnowledgeBaseCreateInput(Model):
    """A knowledge base to create: what it is called, who has its documents, and where there."""

    knowledge_base_name: str
    provider: KnowledgeBaseProvider | str
    provider_settings: ProviderSettings | dict[str, Any]
    retrieve_settings: RetrieveSettings | dict[str, Any] | None = None
    credential_name: str | None = None
    description: str | None = None
    workspace_id: str | None = None

    @model_validator(mode="after")
    def _settings_fit_the_provider(self) -> KnowledgeBaseCreateInput:
        kinds = SETTINGS.get(self.provider, ())
        for given, kind in zip((self.provider_settings, self.retrieve_settings), kinds, strict=False):
            if isinstance(given, Model) and not isinstance(given, kind):
                raise ValueError(f"provider {self.provider} takes {kind.__name__}, not {type(given).__name__}")
        return self


class KnowledgeBaseUpdateInput(UpdateInput, KnowledgeBaseMutableProps):
    """What to change of a knowledge base; what is not given stays, settings are replaced as a whole."""


class KnowledgeBaseListInput(PageableInput):
    """Which knowledge bases to list."""

    provider: KnowledgeBaseProvider | str | None = None
    workspace_id: str | None = None


class RetrieveInput(Model):
    """What to look for, and in which knowledge bases."""

    knowledge_base_names: list[str]
    query: str


class Document(Model):
    """A text for the index of the local platform; one with an `id` that is there already replaces it.

    Without an `id` it gets one from its content. Searches can be narrowed to values of its `metadata`.
    """

    text: str
    id: str | None = None
    title: str | None = None
    metadata: dict[str, Any] | None = None


class StoredDocument(Model):
    """A document as the index of the local platform lists it; `chunks` is how many pieces it was cut into."""

    id: str
    title: str | None = None
    metadata: dict[str, Any] | None = None
    chunks: int = 0
