"""Knowledge bases, every method in both modes, against the emulator over signed HTTP."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from agentrun.config import Config
from agentrun.credential import Credential, CredentialConfig
from agentrun.emulator import Emulator
from agentrun.errors import (
    AuthenticationError,
    ClientError,
    ConfigError,
    Executed,
    InvalidInputError,
    PermissionDeniedError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    UnsupportedError,
)
from agentrun.integration.builtin.knowledgebase import knowledgebase_toolset
from agentrun.knowledgebase import (
    ADBProviderSettings,
    ADBRetrieveSettings,
    BailianProviderSettings,
    BailianRetrieveSettings,
    Document,
    KnowledgeBase,
    KnowledgeBaseClient,
    KnowledgeBaseControlAPI,
    KnowledgeBaseCreateInput,
    KnowledgeBaseListInput,
    KnowledgeBaseListOutput,
    KnowledgeBaseProvider,
    KnowledgeBaseUpdateInput,
    OTSEmbeddingConfiguration,
    OTSProviderSettings,
    RagFlowProviderSettings,
    RagFlowRetrieveSettings,
)
from tests.resources.modes import Mode
from tests.unit.servers import Line, Received, answer, serving

PLACES: dict[str, Any] = {
    # Nobody is there: what is found can only come from the index of the emulator.
    "ragflow": RagFlowProviderSettings(base_url="http://127.0.0.1:1", dataset_ids=["d-1", "d-2"]),
    "bailian": BailianProviderSettings(workspace_id="ws/1 中", index_ids=["i-1", "i-2"]),
    "adb": ADBProviderSettings(db_instance_id="gp-1", namespace="public", namespace_password="pw-hidden&="),
    "ots": OTSProviderSettings(
        ots_instance_name="o-1",
        embedding_configuration=OTSEmbeddingConfiguration(
            provider="bailian", model="m", dimension=8, api_key="key-hidden"
        ),
    ),
}
SEARCHED = ("ragflow", "bailian", "adb")
TEXTS = (
    Document(
        text="Refunds are paid within 14 days.\n\nThe parcel has to arrive first.",
        id="refunds",
        title="Refund policy",
        metadata={"year": 2024, "public": True, "tags": ["money", "returns"]},
    ),
    Document(text="发票抬头可以在订单页面修改。退款在十四天内到账。", id="invoices", metadata={"year": 2023}),
    Document(text="The café in the lobby opens at nine.", id="café hours/1"),
)


def created(call: Mode, config: Config, provider: str = "bailian", name: str = "one", **fields: Any) -> KnowledgeBase:
    given = {"knowledge_base_name": name, "provider": provider, "provider_settings": PLACES[provider], **fields}
    found: KnowledgeBase = call(KnowledgeBase, "create", config=config, **given)
    return found


def keyed(config: Config, name: str = "rag", secret: str = "rk-hidden") -> None:
    Credential.create(
        config=config, credential_name=name, credential_config=CredentialConfig.outbound_tool_api_key(secret)
    )


def filled(call: Mode, config: Config, provider: str, name: str = "one", **fields: Any) -> KnowledgeBase:
    """A knowledge base with the texts in the emulator's index."""
    if provider == "ragflow":
        keyed(config, f"rag-{name}")
        fields = {"credential_name": f"rag-{name}", **fields}
    base = created(call, config, provider, name, **fields)
    call(base, "add_documents", TEXTS)
    return base


def ids(found: Any) -> list[str]:
    """Which documents were found."""
    keys = ("document_id", "doc_id", "file_name")
    known = {"Refund policy": "refunds"}
    return [
        known.get(name, name)
        for each in found.documents
        for name in [next(str(each.metadata[key]) for key in keys if key in each.metadata)]
    ]


# The resource


@pytest.mark.parametrize("provider", PLACES)
def test_settings_of_every_provider_are_kept_as_they_were_given(call: Mode, config: Config, provider: str) -> None:
    made = created(call, config, provider, description="d")
    found = call(KnowledgeBase, "get_by_name", "one", config)
    for each in (made, found):
        assert (each.provider, each.description, each.provider_settings) == (provider, "d", PLACES[provider])
        assert each.knowledge_base_id
        assert each.created_at
        assert each.endpoint is None


def test_retrieve_settings_are_kept(call: Mode, config: Config) -> None:
    made = created(call, config, retrieve_settings=BailianRetrieveSettings(rerank_top_n=3))
    assert made.refresh().retrieve_settings == BailianRetrieveSettings(rerank_top_n=3)


def test_settings_in_the_names_of_the_wire(call: Mode, config: Config) -> None:
    given = {"workspaceId": "w", "indexIds": ["i"], "new": None}
    wanted = KnowledgeBaseCreateInput(knowledge_base_name="one", provider="bailian", provider_settings=given)
    made = call(KnowledgeBase, "create", wanted, config)
    assert isinstance(made.provider_settings, BailianProviderSettings)
    assert made.provider_settings.index_ids == ["i"]


def test_create_from_an_input_and_by_the_client(call: Mode, config: Config) -> None:
    wanted = KnowledgeBaseCreateInput(
        knowledge_base_name="one", provider=KnowledgeBaseProvider.ADB, provider_settings=PLACES["adb"]
    )
    client = KnowledgeBaseClient(config)
    made = call(client, "create", wanted)
    assert (type(made), made.provider) == (KnowledgeBase, "adb")
    assert call(made, "get").knowledge_base_id == made.knowledge_base_id, "the object keeps the client's Config"
    assert call(client, "get", "one").provider_settings == PLACES["adb"]
    assert call(client, "update", "one", KnowledgeBaseUpdateInput(description="d")).description == "d"
    assert [item.description for item in call(client, "list")] == ["d"]
    assert call(client, "delete", "one").knowledge_base_name == "one"
    assert call(client, "list") == []


def test_the_name_is_taken(call: Mode, config: Config) -> None:
    created(call, config)
    with pytest.raises(ResourceAlreadyExistError, match="KnowledgeBase 'one' already exists"):
        created(call, config)


def test_settings_of_another_provider_are_refused(config: Config) -> None:
    with pytest.raises(InvalidInputError, match="provider bailian takes BailianProviderSettings, not ADBProvider"):
        KnowledgeBase.create(
            config=config, knowledge_base_name="one", provider="bailian", provider_settings=PLACES["adb"]
        )
    with pytest.raises(InvalidInputError, match="takes BailianRetrieveSettings, not RagFlowRetrieveSettings"):
        KnowledgeBase.create(
            config=config,
            knowledge_base_name="one",
            provider=KnowledgeBaseProvider.BAILIAN,
            provider_settings=PLACES["bailian"],
            retrieve_settings=RagFlowRetrieveSettings(similarity_threshold=0.5),
        )


def test_a_misspelt_field_is_named(config: Config) -> None:
    with pytest.raises(InvalidInputError, match="Did you mean provider_settings"):
        KnowledgeBase.create(config=config, knowledge_base_name="one", provider="adb", providersettings={})


def test_update_changes_only_what_is_given(call: Mode, config: Config) -> None:
    base = created(call, config, description="before")
    assert call(base, "update", description="after") is base
    assert (base.description, base.provider_settings) == ("after", PLACES["bailian"])
    other = BailianProviderSettings(workspace_id="w", index_ids=["i"])
    updated = call(KnowledgeBase, "update_by_name", "one", config=config, provider_settings=other)
    assert (updated.description, updated.provider_settings) == ("after", other)


def test_the_object_changes_and_goes(call: Mode, config: Config) -> None:
    base = created(call, config)
    for method in ("get", "refresh", "delete"):
        assert call(base, method) is base
    for method in ("get", "update", "delete"):
        with pytest.raises(ResourceNotExistError, match="'one'"):
            call(base, method)


def test_what_is_missing(call: Mode, config: Config) -> None:
    for method in ("get_by_name", "update_by_name", "delete_by_name"):
        with pytest.raises(ResourceNotExistError, match="KnowledgeBase 'none' does not exist") as caught:
            call(KnowledgeBase, method, "none", config=config)
        assert caught.value.status_code == 404


def test_lists(call: Mode, config: Config) -> None:
    for provider in PLACES:
        created(call, config, provider, name=f"of-{provider}")
    found = list(call(KnowledgeBase, "list_all", config=config))
    assert [item.knowledge_base_name for item in found] == [f"of-{provider}" for provider in PLACES]
    assert all(type(item) is KnowledgeBaseListOutput for item in found)
    assert "hidden" not in str([item.model_dump() for item in found])
    (item,) = call(KnowledgeBase, "list_all", provider="adb", config=config)
    assert call(item, "to_knowledge_base").provider_settings == PLACES["adb"]
    pages = [
        call(KnowledgeBaseClient(config), "list", KnowledgeBaseListInput(page_number=n, page_size=3)) for n in (1, 2)
    ]
    assert [len(page) for page in pages] == [3, 1]


def test_the_control_api_speaks_the_wire(call: Mode, config: Config) -> None:
    api = KnowledgeBaseControlAPI(config)
    wanted = KnowledgeBaseCreateInput(knowledge_base_name="one", provider="adb", provider_settings=PLACES["adb"])
    assert call(api, "create_knowledge_base", wanted)["providerSettings"]["dbInstanceId"] == "gp-1"
    assert call(api, "get_knowledge_base", "one")["knowledgeBaseName"] == "one"
    changes = KnowledgeBaseUpdateInput(description="d")
    assert call(api, "update_knowledge_base", "one", changes)["description"] == "d"
    assert len(call(api, "list_knowledge_bases", KnowledgeBaseListInput())["items"]) == 1
    assert call(api, "delete_knowledge_base", "one")["knowledgeBaseName"] == "one"


def test_a_credential_knows_who_uses_it(config: Config) -> None:
    keyed(config)
    with pytest.raises(ClientError, match="no credential nobody"):
        created(Mode("sync"), config, "ragflow", credential_name="nobody")
    base = created(Mode("sync"), config, "ragflow", credential_name="rag")
    (user,) = Credential.get_by_name("rag", config).related_resources or []
    assert (user.resource_type, user.resource_name, user.resource_id) == (
        "knowledgebase",
        "one",
        base.knowledge_base_id,
    )
    assert [item.related_resource_count for item in Credential.list_all(config=config)] == [1]


def test_accounts_do_not_see_each_other(call: Mode, emulator: Emulator, config: Config) -> None:
    filled(call, config, "bailian")
    other = emulator.config(f"{config.access_key_id}-other")
    assert list(KnowledgeBase.list_all(config=other)) == []
    base = created(call, other, "bailian")
    with pytest.raises(ClientError, match="has no documents on this machine"):
        call(base, "retrieve", "refunds")


def test_no_secret_shows(call: Mode, config: Config) -> None:
    bases = [created(call, config, provider, name=provider) for provider in PLACES]
    assert "hidden" not in f"{bases} {bases!r}"


# Searching the documents of this machine


@pytest.mark.parametrize("provider", SEARCHED)
def test_documents_are_found_by_their_words(call: Mode, config: Config, provider: str) -> None:
    base = filled(call, config, provider)
    found = call(base, "retrieve", "When are refunds paid?")
    assert ids(found)[0] == "refunds"
    best = found.documents[0]
    assert best.text.startswith("Refunds are paid")
    assert 0 < best.score <= 1
    assert (found["query"], found["knowledge_base_name"]) == ("When are refunds paid?", "one")
    assert not found.is_error
    assert [each.score for each in found.documents] == sorted((each.score for each in found.documents), reverse=True)


@pytest.mark.parametrize("provider", SEARCHED)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("refund", ["refunds"]),
        ("PARCELS ARRIVED", ["refunds"]),
        ("policy", ["refunds"]),
        ("发票", ["invoices"]),
        ("退款多久到账", ["invoices"]),
        ("票", ["invoices"]),
        ("cafe", ["café hours/1"]),
        ("submarine", []),
        ("\"'*()-:^", []),
        ("refund AND NOT paid OR", ["refunds"]),
    ],
)
def test_what_a_query_finds(config: Config, provider: str, query: str, expected: list[str]) -> None:
    found = ids(filled(Mode("sync"), config, provider).retrieve(query))
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


@pytest.mark.parametrize("provider", SEARCHED)
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"year": 2024}, ["refunds"]),
        ({"year": "2023"}, ["invoices"]),
        ({"year": 2024, "public": True}, ["refunds"]),
        ({"year": 2024, "public": False}, []),
        ({"year": "20'24"}, []),
        ({"tags": "money"}, ["refunds"]),
        ({}, ["invoices", "refunds"]),
        (None, ["invoices", "refunds"]),
    ],
)
def test_metadata_narrows_a_search(
    call: Mode, config: Config, provider: str, filters: Any, expected: list[str]
) -> None:
    base = filled(call, config, provider)
    assert sorted(ids(call(base, "retrieve", "refunds 退款", metadata_filters=filters))) == expected


@pytest.mark.parametrize(
    ("provider", "filters"),
    [
        ("ragflow", {"logic": "and", "conditions": [{"name": "year", "comparison_operator": "=", "value": "2024"}]}),
        ("bailian", [{"year": "2024"}]),
        ("adb", "year = 2024 AND (\"public\" = 'true')"),
    ],
)
def test_the_providers_own_filters(call: Mode, config: Config, provider: str, filters: Any) -> None:
    assert ids(call(filled(call, config, provider), "retrieve", "refunds 退款", None, filters)) == ["refunds"]


@pytest.mark.parametrize(
    ("provider", "filters", "error", "text"),
    [
        ("ragflow", {"conditions": [{"name": "a", "comparison_operator": ">", "value": 1}]}, ClientError, "`is` only"),
        ("bailian", [{"a": "1"}, {"a": "2"}], UnsupportedError, "one object in SearchFilters"),
        ("adb", "year > 2000", UnsupportedError, "reads conditions such as"),
        ("adb", "year = 2024 OR year = 2023", UnsupportedError, "joins conditions by AND only"),
        ("adb", {"no column": "1"}, InvalidInputError, "not the name of a column"),
        ("bailian", {"year": ["2024"]}, InvalidInputError, "must be a text, a number or a boolean, not list"),
        ("ragflow", "year = 2024", InvalidInputError, "must be a dict, not str"),
    ],
)
def test_filters_that_cannot_be(
    call: Mode, config: Config, provider: str, filters: Any, error: type[Exception], text: str
) -> None:
    base = filled(call, config, provider)
    with pytest.raises(error, match=text):
        call(base, "retrieve", "refunds", metadata_filters=filters)


@pytest.mark.parametrize(
    ("provider", "settings", "count"),
    [
        ("ragflow", RagFlowRetrieveSettings(similarity_threshold=0.5), 1),
        ("ragflow", RagFlowRetrieveSettings(similarity_threshold=0.1, vector_similarity_weight=0.3), 2),
        ("bailian", BailianRetrieveSettings(rerank_top_n=1), 1),
        ("bailian", BailianRetrieveSettings(rerank_min_score=0.5, dense_similarity_top_k=10), 1),
        ("bailian", BailianRetrieveSettings(dense_similarity_top_k=1, sparse_similarity_top_k=0), 1),
        ("adb", ADBRetrieveSettings(top_k=1, use_full_text_retrieval=True, recall_window=[-1, 1]), 1),
        ("adb", ADBRetrieveSettings(filter="year = '2023'", hybrid_search_args={"RRF": {"k": 60}}), 1),
        ("adb", ADBRetrieveSettings(), 2),
    ],
)
def test_retrieve_settings_are_heeded(call: Mode, config: Config, provider: str, settings: Any, count: int) -> None:
    base = filled(call, config, provider, retrieve_settings=settings)
    assert len(call(base, "retrieve", "refunds paid 发票").documents) == count


def test_the_filter_of_the_settings_and_that_of_the_call_both_hold(call: Mode, config: Config) -> None:
    base = filled(call, config, "adb", retrieve_settings=ADBRetrieveSettings(filter="year = 2024"))
    assert ids(call(base, "retrieve", "refunds 退款", metadata_filters={"public": True})) == ["refunds"]
    assert ids(call(base, "retrieve", "refunds 退款", metadata_filters={"year": 2023})) == []


def test_a_long_text_is_found_by_its_pieces(call: Mode, config: Config) -> None:
    base = created(call, config)
    paragraphs = [f"Paragraph {number} " + "speaks of nothing at all. " * 20 for number in range(20)]
    paragraphs[13] += "Here is the zebra."
    (stored,) = call(base, "add_documents", ["\n\n".join(paragraphs)])
    assert stored.chunks >= 10
    found = call(base, "retrieve", "zebra").documents
    assert len(found) == 1
    assert "Paragraph 13" in found[0].text
    assert len(found[0].text) <= 800


# Documents


def test_documents_are_listed_replaced_and_deleted(call: Mode, config: Config) -> None:
    base = filled(call, config, "bailian")
    assert [each.id for each in call(base, "list_documents")] == ["café hours/1", "invoices", "refunds"]
    (replaced,) = call(base, "add_documents", [{"id": "refunds", "text": "Nothing is paid back."}])
    assert (replaced.id, replaced.chunks, replaced.title) == ("refunds", 1, None)
    assert [each.title for each in call(base, "list_documents")] == [None, None, None]
    assert ids(call(base, "retrieve", "parcel")) == []
    assert call(base, "delete_document", "café hours/1").id == "café hours/1"
    assert ids(call(base, "retrieve", "lobby")) == []
    with pytest.raises(ResourceNotExistError, match="Document 'café hours/1' does not exist"):
        call(base, "delete_document", "café hours/1")


def test_the_same_text_twice_is_one_document(call: Mode, config: Config) -> None:
    base = created(call, config)
    assert call(base, "list_documents") == []
    for _ in range(2):
        call(base, "add_documents", ["A text without an id."])
    assert len(call(base, "list_documents")) == 1


def test_files_and_folders(call: Mode, config: Config, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_text("# Zebras\n\nThey have stripes.")
    (tmp_path / "b.txt").write_text("Lions have none.")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe")
    base = created(call, config)
    assert [each.id for each in call(base, "add_documents", [tmp_path])] == ["b.txt", "deep/a.md"]
    (found,) = call(base, "retrieve", "stripes").documents
    assert found.metadata["file_name"] == "deep/a.md"
    with pytest.raises(InvalidInputError, match="cannot be read as text"):
        call(base, "add_documents", [tmp_path / "c.bin"])
    with pytest.raises(InvalidInputError, match="has no files that end in"):
        call(base, "add_documents", [empty(tmp_path)])
    with pytest.raises(InvalidInputError, match="documents must be a list"):
        call(base, "add_documents", "a text")


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def test_bad_documents_are_named_and_none_is_put_in(call: Mode, config: Config) -> None:
    base = created(call, config)
    with pytest.raises(ClientError, match=r"documents\[1\].text must be a text that is not empty"):
        call(base, "add_documents", ["good", " "])
    assert call(base, "list_documents") == []
    with pytest.raises(InvalidInputError, match="Did you mean title"):
        call(base, "add_documents", [{"text": "a", "titel": "b"}])
    with pytest.raises(ClientError, match="at least one document"):
        call(base, "add_documents", [])


def test_documents_go_with_their_knowledge_base(call: Mode, config: Config) -> None:
    call(filled(call, config, "bailian"), "delete")
    again = created(call, config, "bailian")
    assert again.endpoint is None
    assert call(again, "list_documents") == []


def test_documents_of_what_is_gone(call: Mode, config: Config) -> None:
    base = created(call, config)
    call(base, "delete")
    with pytest.raises(ResourceNotExistError, match="KnowledgeBase 'one' does not exist"):
        call(base, "add_documents", ["a"])


def test_an_object_read_later_knows_where_the_documents_are(call: Mode, config: Config) -> None:
    made = filled(call, config, "adb")
    found = call(KnowledgeBase, "get_by_name", "one", config)
    assert found.endpoint == made.endpoint == config.get_control_endpoint()
    # Also where the settings would lead to the cloud.
    elsewhere = config.replace(bailian_endpoint="https://bailian.invalid", gpdb_endpoint="https://gpdb.invalid")
    assert ids(call(KnowledgeBase.get_by_name("one", elsewhere), "retrieve", "lobby")) == ["café hours/1"]
    for twin in (copy.deepcopy(found), found.model_copy()):
        assert ids(call(twin, "retrieve", "lobby")) == ["café hours/1"]


def test_documents_survive_with_the_state(call: Mode, tmp_path: Path) -> None:
    for number in range(2):
        with Emulator(state=tmp_path) as emulator, emulator.config("keeper") as config:
            if number == 0:
                filled(call, config, "bailian")
            base = call(KnowledgeBase, "get_by_name", "one", config)
            assert ids(call(base, "retrieve", "lobby")) == ["café hours/1"]
            if number == 1:
                emulator.reset("keeper")
                again = created(call, config, "bailian")
                assert call(again, "list_documents") == []


def test_the_cloud_has_no_such_thing(call: Mode, config: Config) -> None:
    base = created(call, config)
    with serving(answer({"code": "NotFound", "message": "no such path"}, status=404)) as cloud:
        there = config.replace(data_endpoint=cloud.url)
        with pytest.raises(UnsupportedError, match="extension of the local platform") as caught:
            call(base, "add_documents", ["a"], config=there)
        assert caught.value.hint == "Upload the documents where the knowledge base's provider is"


def test_tablestore_says_what_to_do(call: Mode, config: Config) -> None:
    base = created(call, config, "ots")
    with pytest.raises(UnsupportedError, match="not searched over plain HTTP") as caught:
        call(base, "retrieve", "a")
    assert caught.value.executed is Executed.NO
    assert "https://o-1.cn-hangzhou.ots.aliyuncs.com" in (caught.value.hint or "")
    with pytest.raises(UnsupportedError, match="give a knowledge base of provider ragflow, bailian or adb"):
        call(base, "add_documents", ["a"])


# What goes wrong


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query(call: Mode, config: Config, query: str) -> None:
    with pytest.raises(InvalidInputError, match="nothing to look for"):
        call(created(call, config), "retrieve", query)


def test_ragflow_needs_a_key_that_fits(call: Mode, config: Config) -> None:
    base = filled(call, config, "ragflow")
    keyless = created(call, config, "ragflow", name="keyless")
    with pytest.raises(ConfigError, match="'keyless' has no credential") as caught:
        call(keyless, "retrieve", "a")
    assert "credential_name" in (caught.value.hint or "")
    call(Credential, "update_by_name", "rag-one", config=config, enabled=False)
    with pytest.raises(AuthenticationError, match="credential 'rag-one' cannot be used: it is disabled") as refused:
        call(base, "retrieve", "refunds")
    assert "hidden" not in f"{refused.value} {refused.value!r} {refused.value.response_body}"
    Credential.delete_by_name("rag-one", config)
    with pytest.raises(ResourceNotExistError, match="Credential 'rag-one'"):
        call(base, "retrieve", "refunds")


def test_a_new_key_is_used_at_once(call: Mode, config: Config) -> None:
    base = filled(call, config, "ragflow")
    changed = CredentialConfig.outbound_tool_api_key("another")
    call(Credential, "update_by_name", "rag-one", config=config, credential_config=changed)
    assert ids(call(base, "retrieve", "lobby")) == ["café hours/1"]


def test_a_wrong_secret_or_password_is_refused(call: Mode, config: Config) -> None:
    base = filled(call, config, "adb")
    with pytest.raises(AuthenticationError):
        call(base, "retrieve", "refunds", config=config.replace(access_key_secret="wrong"))
    base.provider_settings = ADBProviderSettings(db_instance_id="gp-1", namespace="public", namespace_password="wrong")
    with pytest.raises(PermissionDeniedError, match="password of namespace public"):
        call(base, "retrieve", "refunds")


# Several at once


def test_the_error_of_one_stands_beside_the_results_of_others(call: Mode, config: Config) -> None:
    names = [*SEARCHED, "ots", "none"]
    for provider in SEARCHED:
        filled(call, config, provider, provider)
    created(call, config, "ots", "ots")
    found = call(KnowledgeBase, "multi_retrieve", "lobby", [*names, "none"], config)
    assert list(found["results"]) == list(found.results) == names
    assert found["query"] == "lobby"
    for name in SEARCHED:
        assert ids(found.results[name]) == ["café hours/1"]
    assert found["results"]["none"] == {
        "data": "Failed to retrieve: KnowledgeBase 'none' does not exist",
        "query": "lobby",
        "knowledge_base_name": "none",
        "error": True,
        "error_type": "ResourceNotExistError",
    }
    assert found.results["none"].is_error
    assert found.results["none"].documents == []
    assert {name: type(error) for name, error in found.errors.items()} == {
        "ots": UnsupportedError,
        "none": ResourceNotExistError,
    }
    again = pickle.loads(pickle.dumps(found))
    assert (again, list(again.errors)) == (found, list(found.errors))


def test_several_are_searched_at_the_same_time(config: Config) -> None:
    together = threading.Barrier(len(SEARCHED))

    def wait(line: Line, request: Received) -> bool:
        together.wait(60)  # Nobody is answered before all have asked.
        return answer({"Data": {"Nodes": []}})(line, request)

    with serving(wait) as provider:
        there = config.replace(bailian_endpoint=provider.url, max_retries=0)
        for name in SEARCHED:
            where = BailianProviderSettings(workspace_id="w", index_ids=[name])
            KnowledgeBase.create(config=there, knowledge_base_name=name, provider="bailian", provider_settings=where)
        found = asyncio.run(KnowledgeBase.multi_retrieve_async("a", list(SEARCHED), there))
        assert (found.errors, len(provider.requests)) == ({}, len(SEARCHED))


def test_filters_hold_for_all(call: Mode, config: Config) -> None:
    for provider in SEARCHED:
        filled(call, config, provider, provider)
    found = call(
        KnowledgeBase, "multi_retrieve", "refunds 退款", list(SEARCHED), config, metadata_filters={"year": 2023}
    )
    assert {name: ids(each) for name, each in found.results.items()} == {name: ["invoices"] for name in SEARCHED}


def test_one_name_is_no_list(call: Mode, config: Config) -> None:
    with pytest.raises(InvalidInputError, match="a list of names"):
        call(KnowledgeBase, "multi_retrieve", "a", "one", config)


# The tool


def test_the_tool_searches_all(call: Mode, config: Config) -> None:
    for provider in SEARCHED:
        filled(call, config, provider, provider)
    tools = knowledgebase_toolset(list(SEARCHED), config=config)
    (tool,) = tools.tools()
    assert (tool.name, tool.parameters["required"]) == ("search_document", ["query"])
    outcome = call(tool, "outcome", {"query": "refunds 退款", "metadata_filters": {"year": "2024"}})
    assert not outcome.is_error
    assert set(outcome.value["results"]) == set(SEARCHED)
    for found in outcome.value["results"].values():
        (best,) = found["data"]
        assert best["text"].startswith("Refunds are paid")
        assert best["score"] > 0
    assert call(tools, "search_document", "refunds 退款", {"year": "2024"}) == outcome.value


def test_the_tool_tells_a_model_what_failed(call: Mode, config: Config) -> None:
    filled(call, config, "bailian", "good")
    (tool,) = knowledgebase_toolset(["good", "none"], config=config).tools()
    outcome = call(tool, "outcome", {"query": "lobby"})
    assert not outcome.is_error
    assert outcome.value["results"]["none"] == {
        "data": "Failed to retrieve: KnowledgeBase 'none' does not exist",
        "error": True,
    }
    (tool,) = knowledgebase_toolset(["none"], config=config).tools()
    outcome = call(tool, "outcome", {"query": "lobby"})
    assert outcome.text == "ResourceNotExistError: KnowledgeBase 'none' does not exist"
    for arguments, text in (
        ({"query": " "}, "query must be a text"),
        ({"query": 1}, "query must be a text"),
        ({"query": "a", "top": 1}, "has no argument 'top'"),
        ({"query": "a", "metadata_filters": "x"}, "metadata_filters must be a dict"),
    ):
        outcome = call(tool if "filters" not in str(arguments) else of(config), "outcome", arguments)
        assert outcome.is_error
        assert text in outcome.text


def of(config: Config) -> Any:
    return knowledgebase_toolset(["good"], config=config).tools()[0]


def test_a_tool_of_nothing(config: Config) -> None:
    nothing: list[str] = []
    for names in (nothing, "one"):
        with pytest.raises(InvalidInputError, match="must be a list of names"):
            knowledgebase_toolset(names, config=config)
