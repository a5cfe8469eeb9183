"""What is sent to the providers of knowledge bases, byte for byte, and what their answers and errors become."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ClientError,
    ConfigError,
    ConnectError,
    InvalidInputError,
    InvalidResponseError,
    PermissionDeniedError,
    ServerError,
    UnsupportedError,
)
from agentrun.knowledgebase import (
    ADBDataAPI,
    ADBProviderSettings,
    ADBRerankModel,
    ADBRetrieveSettings,
    BailianDataAPI,
    BailianProviderSettings,
    BailianRetrieveSettings,
    KnowledgeBaseProvider,
    OTSDataAPI,
    OTSProviderSettings,
    RagFlowDataAPI,
    RagFlowProviderSettings,
    RagFlowRetrieveSettings,
    RetrieveResult,
    get_data_api,
)
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Behaviour, Line, Received, Server, answer, closed_port, page, serving, success

SECRET = "SK-hidden"
CREDENTIAL = success({"credentialName": "rag", "credentialSecret": "rk-hidden"})
EMPTY_NODES = answer({"Success": True, "Data": {"Nodes": []}})
EMPTY_MATCHES = answer({"Matches": {"MatchList": []}})


def config_of(server: Server, **fields: Any) -> Config:
    given: dict[str, Any] = {
        "access_key_id": "AK",
        "access_key_secret": SECRET,
        "region_id": "cn-hangzhou",
        "max_retries": 0,
    }
    return Config(
        control_endpoint=server.url, bailian_endpoint=server.url, gpdb_endpoint=server.url, **{**given, **fields}
    )


def ragflow(server: Server, **settings: Any) -> RagFlowDataAPI:
    where = RagFlowProviderSettings(base_url=f"{server.url}/", dataset_ids=["d1"])
    return RagFlowDataAPI("kb", config_of(server), where, RagFlowRetrieveSettings(**settings), "rag")


def bailian(server: Server, *index_ids: str, config: Config | None = None, **settings: Any) -> BailianDataAPI:
    where = BailianProviderSettings(workspace_id="ws", index_ids=list(index_ids or ("i1",)))
    return BailianDataAPI("kb", config or config_of(server), where, BailianRetrieveSettings(**settings))


def adb(server: Server, config: Config | None = None, **settings: Any) -> ADBDataAPI:
    where = ADBProviderSettings(db_instance_id="gp-1", namespace="public", namespace_password="pw")
    return ADBDataAPI("kb", config or config_of(server), where, ADBRetrieveSettings(**settings))


def check_signature(request: Received) -> None:
    """The signature is recomputed from what arrived, by the recipe and not by our own functions."""
    algorithm, _, rest = request.headers["authorization"].partition(" ")
    fields = dict(part.split("=", 1) for part in rest.split(","))
    names = fields["SignedHeaders"].split(";")
    must = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
    assert must | ({"content-type"} if request.body else set()) <= set(names)
    assert request.headers["x-acs-content-sha256"] == hashlib.sha256(request.body).hexdigest()
    url = urlsplit(request.path)
    pairs = sorted(parse_qsl(url.query, keep_blank_values=True))
    canonical = "\n".join(
        (
            request.method,
            url.path,
            "&".join(f"{name}={quote(value, safe='~')}" for name, value in pairs),
            "".join(f"{name}:{request.headers[name]}\n" for name in sorted(names)),
            ";".join(sorted(names)),
            request.headers["x-acs-content-sha256"],
        )
    )
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    assert (algorithm, fields["Credential"], fields["Signature"]) == ("ACS3-HMAC-SHA256", "AK", signature)


def sent(server: Server) -> Received:
    return server.requests[-1]


# RagFlow


@both_modes
def test_ragflow_is_sent_what_the_official_client_sends(mode: str) -> None:
    chunks = {"chunks": [{"content": "c", "similarity": 0.5, "document_id": "1", "document_keyword": "a.md"}]}
    with serving(CREDENTIAL, answer({"code": 0, "data": chunks})) as server:
        found = drive(mode, ragflow(server, similarity_threshold=0.2).retrieve_async("query"))
        request = sent(server)
    assert (request.method, request.path) == ("POST", "/api/v1/retrieval")
    assert request.headers["authorization"] == "Bearer rk-hidden"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "question": "query",
        "dataset_ids": ["d1"],
        "page": 1,
        "page_size": 30,
        "similarity_threshold": 0.2,
    }
    assert found == {"data": chunks, "query": "query", "knowledge_base_name": "kb"}
    assert [tuple(each) for each in found.documents] == [("c", 0.5, {"document_id": "1", "document_name": "a.md"})]


def test_ragflow_settings_and_filters() -> None:
    with serving(CREDENTIAL, answer({"code": 0, "data": {"chunks": []}})) as server:
        api = ragflow(server, vector_similarity_weight=0.7, cross_languages=["English"])
        api.retrieve("查询", metadata_filters={"year": 2024, "public": True})
        body = json.loads(sent(server).body)
    assert (body["question"], body["vector_similarity_weight"], body["cross_languages"]) == ("查询", 0.7, ["English"])
    assert body["metadata_condition"] == {
        "logic": "and",
        "conditions": [
            {"name": "year", "comparison_operator": "is", "value": "2024"},
            {"name": "public", "comparison_operator": "is", "value": "true"},
        ],
    }


RAGFLOW_ERRORS: list[tuple[Behaviour, type[AgentRunError], str]] = [
    (answer({"code": 109, "data": False, "message": "API key is invalid!"}), AuthenticationError, "key is invalid"),
    (answer({"code": 108, "message": "Not yours"}), PermissionDeniedError, "Not yours"),
    (answer({"code": 102, "message": "No such dataset"}), ClientError, "No such dataset. Error Code: 102"),
    (answer({"code": 100}), ClientError, "gave no reason"),
    (answer({"detail": "x"}), InvalidResponseError, "has no code"),
    (answer(b"<html>"), InvalidResponseError, "has no code"),
    (page(502), ServerError, "answered with status 502"),
]


@both_modes
@pytest.mark.parametrize(("behaviour", "kind", "text"), RAGFLOW_ERRORS)
def test_ragflow_errors(mode: str, behaviour: Behaviour, kind: type[AgentRunError], text: str) -> None:
    with serving(CREDENTIAL, behaviour) as server, pytest.raises(kind, match=text) as caught:
        drive(mode, ragflow(server).retrieve_async("query"))
    assert "hidden" not in f"{caught.value!r} {caught.value}"


def test_a_credential_without_a_key() -> None:
    with serving(success({"credentialName": "rag"})) as server:
        with pytest.raises(ConfigError, match="credential 'rag' has no key"):
            ragflow(server).retrieve("query")
        assert len(server.requests) == 1


# Model Studio


@both_modes
def test_bailian_is_sent_what_the_official_client_sends(mode: str) -> None:
    nodes = [{"Text": "t", "Score": 0.5, "Metadata": {"doc_name": "a"}}]
    with serving(answer({"Data": {"Nodes": nodes}, "Success": True})) as server:
        found = drive(mode, bailian(server, dense_similarity_top_k=3).retrieve_async("query"))
        request = sent(server)
    assert (request.method, request.path) == ("POST", "/ws/index/retrieve?DenseSimilarityTopK=3&IndexId=i1&Query=query")
    assert (request.headers["x-acs-action"], request.headers["x-acs-version"]) == ("Retrieve", "2023-12-29")
    assert request.body == b""
    check_signature(request)
    data = [{"text": "t", "score": 0.5, "metadata": {"doc_name": "a"}}]
    assert found == {"data": data, "query": "query", "knowledge_base_name": "kb"}
    assert [tuple(each) for each in found.documents] == [("t", 0.5, {"doc_name": "a"})]


def test_bailian_settings_filters_and_text_of_any_kind() -> None:
    with serving(EMPTY_NODES) as server:
        api = bailian(server, "i 1", sparse_similarity_top_k=2, rerank_min_score=0.25, rerank_top_n=4)
        assert api.retrieve("a & b=c? 查询~*", metadata_filters={"year": 2024}).documents == []
        request = sent(server)
    check_signature(request)
    assert dict(parse_qsl(urlsplit(request.path).query)) == {
        "IndexId": "i 1",
        "Query": "a & b=c? 查询~*",
        "SparseSimilarityTopK": "2",
        "RerankMinScore": "0.25",
        "RerankTopN": "4",
        "SearchFilters": '[{"year": "2024"}]',
    }


def test_temporary_keys_are_signed() -> None:
    with serving(EMPTY_NODES) as server:
        bailian(server, config=config_of(server, security_token="token")).retrieve("query")
        request = sent(server)
    check_signature(request)
    assert request.headers["x-acs-security-token"] == "token"
    assert "x-acs-security-token" in request.headers["authorization"]


def test_several_indexes_are_one_list_by_score() -> None:
    def nodes(*scores: float) -> Behaviour:
        return answer({"Data": {"Nodes": [{"Text": str(score), "Score": score} for score in scores]}})

    with serving(nodes(0.9, 0.2), nodes(0.5)) as server:
        found = bailian(server, "i1", "i2").retrieve("query")
        asked = [dict(parse_qsl(urlsplit(each.path).query))["IndexId"] for each in server.requests]
    assert asked == ["i1", "i2"]
    assert [each.score for each in found.documents] == [0.9, 0.5, 0.2]


def test_several_indexes_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(2)

    def wait(line: Line, request: Received) -> bool:
        together.wait(30)
        return EMPTY_NODES(line, request)

    with serving(wait) as server:
        assert drive("async", bailian(server, "i1", "i2").retrieve_async("query")).documents == []
        assert len(server.requests) == 2


BAILIAN_ERRORS: list[tuple[Behaviour, type[AgentRunError], str]] = [
    (answer({"Success": False, "Code": "Index.Bad", "Message": "no index"}), ClientError, "no index.*Index.Bad"),
    (answer({"Code": "Forbidden", "Message": "no right"}, status=403), PermissionDeniedError, "no right"),
    (answer(b"<html>"), InvalidResponseError, "has no nodes"),
    (answer({"Data": "x"}), InvalidResponseError, "has no nodes"),
    (page(500), ServerError, "status 500"),
]


@both_modes
@pytest.mark.parametrize(("behaviour", "kind", "text"), BAILIAN_ERRORS)
def test_bailian_errors(mode: str, behaviour: Behaviour, kind: type[AgentRunError], text: str) -> None:
    with serving(behaviour) as server, pytest.raises(kind, match=text):
        drive(mode, bailian(server).retrieve_async("query"))


# AnalyticDB


@both_modes
def test_adb_is_sent_what_the_official_client_sends(mode: str) -> None:
    match = {"Content": "x", "Score": 0.1, "Metadata": {"a": "b"}, "Id": "7", "FileName": "a.md"}
    with serving(answer({"RequestId": "r", "Matches": {"MatchList": [match]}})) as server:
        found = drive(mode, adb(server, top_k=5).retrieve_async("query"))
        request = sent(server)
    assert request.method == "POST"
    assert request.path == (
        "/?Collection=kb&DBInstanceId=gp-1&Namespace=public&NamespacePassword=pw&RegionId=cn-hangzhou&TopK=5"
        "&UrlExpiration=356d"
    )
    assert (request.headers["x-acs-action"], request.headers["x-acs-version"]) == ("QueryContent", "2016-05-03")
    assert (request.headers["content-type"], request.body) == ("application/x-www-form-urlencoded", b"Content=query")
    check_signature(request)
    (only,) = found["data"]
    assert only == {"text": "x", "score": 0.1, "metadata": {"a": "b"}, "id": "7", "file_name": "a.md"}
    assert [tuple(each) for each in found.documents] == [("x", 0.1, {"id": "7", "file_name": "a.md", "a": "b"})]


def test_adb_settings_filters_and_text_of_any_kind() -> None:
    with serving(EMPTY_MATCHES) as server:
        api = adb(
            server,
            use_full_text_retrieval=True,
            rerank_factor=1.5,
            rerank_model=ADBRerankModel(name="m", instruct="i"),
            recall_window=[-1, 1],
            hybrid_search="RRF",
            hybrid_search_args={"RRF": {"k": 60}},
            filter="year > 2000",
        )
        api.retrieve("a & b=c? 查询~*", metadata_filters={"author": "O'Neil"})
        request = sent(server)
    check_signature(request)
    query = dict(parse_qsl(urlsplit(request.path).query))
    assert {name: query[name] for name in ("UseFullTextRetrieval", "RerankFactor", "HybridSearch")} == {
        "UseFullTextRetrieval": "true",
        "RerankFactor": "1.5",
        "HybridSearch": "RRF",
    }
    assert json.loads(query["RerankModel"]) == {"Name": "m", "Instruct": "i"}
    assert (json.loads(query["RecallWindow"]), json.loads(query["HybridSearchArgs"])) == ([-1, 1], {"RRF": {"k": 60}})
    assert dict(parse_qsl(request.body.decode())) == {
        "Content": "a & b=c? 查询~*",
        "Filter": "(year > 2000) AND (author = 'O''Neil')",
    }


@pytest.mark.parametrize("filters", [{"a; DROP TABLE b": "1"}, {"a b": "1"}, {"": "1"}, {"é": "1"}])
def test_a_name_that_is_no_column_is_not_sent(filters: Any) -> None:
    with serving(EMPTY_MATCHES) as server:
        with pytest.raises(InvalidInputError, match="not the name of a column"):
            adb(server).retrieve("query", metadata_filters=filters)
        assert server.requests == []


@both_modes
@pytest.mark.parametrize("behaviour", [answer(b"<html>"), answer(b"[]"), answer({"Matches": 1})])
def test_adb_answers_that_are_none(mode: str, behaviour: Behaviour) -> None:
    with serving(behaviour) as server, pytest.raises(InvalidResponseError, match="has no matches"):
        drive(mode, adb(server).retrieve_async("query"))


# Where they are, and what they have in common


@pytest.mark.parametrize(
    ("region", "vpc", "expected"),
    [
        ("cn-hangzhou", False, "https://gpdb.aliyuncs.com"),
        ("cn-beijing", False, "https://gpdb.cn-beijing.aliyuncs.com"),
        ("cn-hangzhou", True, "https://gpdb-vpc.cn-hangzhou.aliyuncs.com"),
    ],
)
def test_where_analyticdb_is(monkeypatch: pytest.MonkeyPatch, region: str, vpc: bool, expected: str) -> None:
    monkeypatch.delenv("GPDB_ENDPOINT", raising=False)
    config = Config(region_id=region, use_vpc_endpoint=vpc)
    assert config.get_gpdb_endpoint() == expected
    assert config.replace(gpdb_endpoint="http://here:1/").get_gpdb_endpoint() == "http://here:1"
    network = "vpc.tablestore" if vpc else "ots"
    assert config.get_ots_endpoint("o") == f"https://o.{region}.{network}.aliyuncs.com"


def test_an_endpoint_of_its_own_wins() -> None:
    with serving(EMPTY_NODES, EMPTY_MATCHES, CREDENTIAL, answer({"code": 0})) as server:
        nowhere = config_of(server).replace(bailian_endpoint="http://127.0.0.1:1", gpdb_endpoint="http://127.0.0.1:1")
        settings: list[tuple[str, Any]] = [
            ("bailian", BailianProviderSettings(workspace_id="ws", index_ids=["i"])),
            ("adb", {"dbInstanceId": "gp", "namespace": "n", "namespacePassword": "p"}),
            ("ragflow", {"base_url": "http://127.0.0.1:1", "dataset_ids": ["d"]}),
        ]
        for provider, where in settings:
            api = get_data_api(provider, "kb", nowhere, where, None, "rag", endpoint=server.url)
            assert api.retrieve("query").documents == []
        assert len(server.requests) == 4


def test_nobody_there() -> None:
    config = Config(
        access_key_id="a", access_key_secret="b", bailian_endpoint=f"http://127.0.0.1:{closed_port()}", max_retries=0
    )
    with pytest.raises(ConnectError, match="cannot reach"):
        BailianDataAPI("kb", config, BailianProviderSettings(workspace_id="w", index_ids=["i"])).retrieve("query")


@pytest.mark.parametrize("provider", list(KnowledgeBaseProvider))
def test_every_provider_has_an_api(provider: KnowledgeBaseProvider) -> None:
    kinds = {"ragflow": RagFlowDataAPI, "bailian": BailianDataAPI, "adb": ADBDataAPI, "ots": OTSDataAPI}
    for named in (provider, provider.value):
        api = get_data_api(named, "kb", Config(access_key_id="a", access_key_secret="b"))
        assert type(api) is kinds[provider.value]
        expected = UnsupportedError if provider is KnowledgeBaseProvider.OTS else ConfigError
        with pytest.raises(expected, match="'kb'"):
            api.retrieve("query")


def test_an_unknown_provider() -> None:
    with pytest.raises(InvalidInputError, match="nobody knows how to search provider 'other'"):
        get_data_api("other", "kb")


def test_settings_that_do_not_fit_name_the_field() -> None:
    with pytest.raises(AgentRunError, match="indexIds"):
        get_data_api("bailian", "kb", None, {"workspaceId": "w"})
    with pytest.raises(InvalidInputError, match="needs 'index_ids'"):
        get_data_api("bailian", "kb", None, {"workspace_id": "w"})


def test_passwords_do_not_show() -> None:
    settings = (
        ADBProviderSettings(db_instance_id="gp", namespace="n", namespace_password="pw-hidden"),
        OTSProviderSettings(ots_instance_name="o", embedding_configuration=None),
    )
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("data", [None, "Failed to retrieve: x", {"chunks": None}, []])
def test_a_result_without_documents(data: Any) -> None:
    assert RetrieveResult(data=data).documents == []
