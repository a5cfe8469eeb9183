"""Documents and searches as any foreign client would send them: what is answered, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from agentrun._core import signing
from agentrun.emulator import Emulator
from agentrun.emulator.knowledge.text import LONGEST_CHUNK, chunks, query_terms, terms
from tests.emulator.signed import API, CREDENTIALS, Account, refusal

BASES = f"{API}/agents/knowledgebases"
BAILIAN = {"workspaceId": "ws", "indexIds": ["i-1", "i-2"]}
ADB = {"dbInstanceId": "gp-1", "namespace": "public", "namespacePassword": "pw-hidden"}
RAGFLOW = {"baseUrl": "https://rag.example", "datasetIds": ["d-1", "d-2"]}
QUERY = {"Collection": "kb", "DBInstanceId": "gp-1", "Namespace": "public", "NamespacePassword": "pw-hidden"}
VERSIONS = {"Retrieve": "2023-12-29", "QueryContent": "2016-05-03"}


def made(account: Account, provider: str, settings: Any, *texts: str, **fields: Any) -> dict[str, Any]:
    """A knowledge base with documents, as it is shown afterwards."""
    body = {"knowledgeBaseName": "kb", "provider": provider, "providerSettings": settings, **fields}
    account.done("POST", BASES, body)
    documents = [{"text": text, "metadata": {"place": number}} for number, text in enumerate(texts)]
    answer = account.data("POST", "/knowledgebases/kb/documents", json.dumps({"documents": documents}).encode())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = account.done("GET", f"{BASES}/kb")
    assert found["endpoint"] == answer.json()["endpoint"]
    return found


def signed(
    account: Account,
    action: str,
    path: str,
    query: Mapping[str, str],
    form: Mapping[str, str] | None = None,
    version: str | None = None,
) -> httpx.Response:
    """A search that is signed as the control plane is."""
    content = urlencode(form).encode() if form else b""
    payload = hashlib.sha256(content).hexdigest()
    sent = {
        "host": account.client.base_url.netloc.decode(),
        "x-acs-action": action,
        "x-acs-version": version or VERSIONS.get(action, ""),
        "x-acs-date": account.date,
        "x-acs-signature-nonce": uuid4().hex,
        "x-acs-content-sha256": payload,
        **({"content-type": "application/x-www-form-urlencoded"} if form else {}),
    }
    signature = signing.sign_control(account.secret, "POST", path, list(query.items()), sent, list(sent), payload)
    sent["authorization"] = signing.control_authorization(account.key, list(sent), signature)
    return account.client.post(f"{path}?{urlencode(query)}", headers=sent, content=content)


def retrieve(account: Account, path: str = "/ws/index/retrieve", **query: str) -> httpx.Response:
    return signed(account, "Retrieve", path, {"IndexId": "i-1", "Query": "zebra", **query})


def query_content(account: Account, content: str = "zebra", filter: str = "", **query: str) -> httpx.Response:
    form = {"Content": content, **({"Filter": filter} if filter else {})}
    return signed(account, "QueryContent", "/", {**QUERY, "RegionId": "cn-hangzhou", **query}, form)


# Searches by signed requests


def test_model_studio_s_words(account: Account, emulator: Emulator) -> None:
    made(account, "bailian", BAILIAN, "A zebra.", "A lion.")
    body = retrieve(account).json()
    (node,) = body["Data"]["Nodes"]
    assert (body["Success"], node["Text"], node["Score"]) == (True, "A zebra.", 1.0)
    assert node["Metadata"]["place"] == 0
    assert retrieve(account, IndexId="i-2").json()["Data"]["Nodes"] == []
    number = emulator.config(account.key).account_id
    assert [entry.status for entry in emulator.journal.entries(operation="bailian", account=number)] == [200, 200]


def test_two_bases_of_one_index_are_searched_together(account: Account) -> None:
    made(account, "bailian", BAILIAN, "A zebra and a lion.")
    account.done("POST", BASES, {"knowledgeBaseName": "b", "provider": "bailian", "providerSettings": BAILIAN})
    body = json.dumps({"documents": [{"text": "A zebra."}]}).encode()
    assert account.data("POST", "/knowledgebases/b/documents", body).status_code == 200
    nodes = retrieve(account, Query="zebra lion").json()["Data"]["Nodes"]
    assert [node["Text"] for node in nodes] == ["A zebra and a lion.", "A zebra."]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"Top": "1"}, 400, "query parameter Top is unknown"),
        ({"Query": " "}, 400, "query parameter Query is required"),
        ({"IndexId": ""}, 400, "query parameter IndexId is required"),
        ({"RerankTopN": "21"}, 400, "RerankTopN must be a whole number from 1 to 20"),
        ({"RerankMinScore": "high"}, 400, "RerankMinScore must be a number"),
        ({"SearchFilters": "{"}, 400, "SearchFilters is not JSON"),
        ({"SearchFilters": "{}"}, 400, "SearchFilters must be a list of objects"),
        ({"IndexId": "i-9"}, 404, "index i-9 of workspace ws has no documents on this machine"),
    ],
)
def test_what_model_studio_refuses(account: Account, query: dict[str, str], status: int, text: str) -> None:
    made(account, "bailian", BAILIAN, "A zebra.")
    assert text in refusal(retrieve(account, **query), status)


def test_analyticdb_s_words(account: Account) -> None:
    made(account, "adb", ADB, "A zebra.", "A zebra and a lion.")
    matches = query_content(account, "zebra lion").json()["Matches"]["MatchList"]
    assert [match["Content"] for match in matches] == ["A zebra and a lion.", "A zebra."]
    assert [match["Metadata"] for match in matches] == [{"place": "1"}, {"place": "0"}]
    second = query_content(account, "zebra lion", TopK="1", Offset="1").json()["Matches"]["MatchList"]
    assert second == matches[1:]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"Top": "1"}, 400, "query parameter Top is unknown"),
        ({"content": " "}, 400, "the form must have a Content"),
        ({"RegionId": ""}, 400, "query parameter RegionId is required"),
        ({"TopK": "0"}, 400, "TopK must be a whole number"),
        ({"NamespacePassword": "wrong"}, 403, "the password of namespace public is another one"),
        ({"Collection": "other"}, 404, "collection other of namespace public in gp-1 has no documents"),
        ({"filter": "place LIKE '1%'"}, 501, "reads conditions such as"),
        ({"filter": "place = 1; DROP TABLE x"}, 501, "joins conditions by AND only"),
    ],
)
def test_what_analyticdb_refuses(account: Account, query: dict[str, Any], status: int, text: str) -> None:
    made(account, "adb", ADB, "A zebra.")
    answer = query_content(account, **query)
    assert text in refusal(answer, status)
    assert "hidden" not in answer.text


@pytest.mark.parametrize(("action", "path"), [("Retrieve", "/ws/index/retrieve"), ("QueryContent", "/")])
def test_searches_are_signed_and_of_the_right_version(account: Account, action: str, path: str) -> None:
    plain = account.client.post(path)
    assert "no ACS3-HMAC-SHA256 signature" in refusal(plain, 401)
    wrong = Account(account.client, account.key, "wrong")
    assert "does not match" in refusal(signed(wrong, action, path, {}), 401)
    assert "x-acs-action is Other" in refusal(signed(account, "Other", path, {}), 401)
    assert f"must be {VERSIONS[action]}" in refusal(signed(account, action, path, {}, version="1"), 400)
    assert refusal(account.client.get(path), 405 if path != "/" else 404)


# RagFlow


def asked(account: Account, base: dict[str, Any], key: str = "rk", path: str = "/api/v1/retrieval", **body: Any) -> Any:
    given = {"question": "zebra", "dataset_ids": ["d-1"], **body}
    url = f"{base['endpoint']}{path}"
    answer = account.client.post(url, json=given, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ragflow(account: Account, *texts: str) -> dict[str, Any]:
    credential = {"credentialName": "key", "credentialAuthType": "api_key", "credentialSourceType": "external_tool"}
    account.done("POST", CREDENTIALS, {**credential, "credentialSecret": "rk"})
    return made(account, "ragflow", RAGFLOW, *texts, credentialName="key")


def test_ragflow_s_words(account: Account) -> None:
    base = ragflow(account, "A zebra.", "A lion.", "A zebra and a lion.")
    data = asked(account, base, question="zebra lion")["data"]
    assert data["chunks"][0]["content"] == "A zebra and a lion."
    assert (data["total"], sum(each["count"] for each in data["doc_aggs"])) == (3, 3)
    assert {chunk["dataset_id"] for chunk in data["chunks"]} == {"d-1"}
    pages = [asked(account, base, question="zebra lion", page=n, page_size=2)["data"] for n in (1, 2, 3)]
    assert [len(page["chunks"]) for page in pages] == [2, 1, 0]
    assert [page["total"] for page in pages] == [3, 3, 3]
    assert asked(account, base, dataset_ids=["d-2"])["data"]["chunks"] == []


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"top": 1}, 101, "top is not known"),
        ({"question": ""}, 102, "question is required"),
        ({"dataset_ids": []}, 102, "dataset_ids is required"),
        ({"dataset_ids": ["d-9"]}, 102, "no data set d-9"),
        ({"page": 0}, 101, "page must be a whole number"),
        ({"page_size": True}, 101, "page_size must be a whole number"),
        ({"similarity_threshold": 2}, 101, "must be a number from 0 to 1"),
        ({"metadata_condition": {"logic": "or", "conditions": []}}, 101, "joined by `and`"),
        ({"key": "other"}, 109, "the API key is not that of"),
        ({"key": "none"}, 109, "the API key is not that of"),
    ],
)
def test_what_ragflow_refuses(account: Account, body: dict[str, Any], code: int, text: str) -> None:
    answer = asked(account, ragflow(account, "A zebra."), **body)
    assert (answer["code"], answer["data"]) == (code, False)
    assert text in answer["message"]


def test_ragflow_of_nobody(account: Account) -> None:
    nowhere = {"endpoint": f"{account.client.base_url}/ragflow/kb-none"}
    assert asked(account, nowhere)["code"] == 109
    base = ragflow(account, "A zebra.")
    assert "there is only /api/v1/retrieval" in refusal(account.client.post(f"{base['endpoint']}/api/v1/datasets"), 404)
    assert "takes POST" in refusal(account.client.get(f"{base['endpoint']}/api/v1/retrieval"), 405)


# Documents


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"documents": "a"}, "at least one document"),
        ({"documents": [{"text": "a"}], "more": 1}, "the body must be"),
        ({"documents": ["a"]}, "documents[0] must be an object"),
        (
            {"documents": [{"text": "a"}, {"text": "a", "titel": "b"}]},
            "documents[1].titel is not a field of a document",
        ),
        ({"documents": [{"text": 1}]}, "documents[0].text must be a text"),
        ({"documents": [{"text": "a", "id": ""}]}, "documents[0].id must be a text that is not empty"),
        ({"documents": [{"text": "a", "metadata": ["a"]}]}, "documents[0].metadata must be an object"),
    ],
)
def test_bad_documents(account: Account, body: Any, text: str) -> None:
    account.done("POST", BASES, {"knowledgeBaseName": "kb", "provider": "bailian", "providerSettings": BAILIAN})
    answer = account.data("POST", "/knowledgebases/kb/documents", json.dumps(body).encode())
    assert text in refusal(answer, 400)
    assert "endpoint" not in account.done("GET", f"{BASES}/kb")


def test_other_paths_and_methods(account: Account) -> None:
    made(account, "bailian", BAILIAN, "A zebra.")
    assert "there are only documents" in refusal(account.data("GET", "/knowledgebases/kb/chunks"), 404)
    assert "takes GET, POST, not DELETE" in refusal(account.data("DELETE", "/knowledgebases/kb/documents"), 405)
    assert "takes DELETE, not GET" in refusal(account.data("GET", "/knowledgebases/kb/documents/a"), 405)
    assert "document a does not exist" in refusal(account.data("DELETE", "/knowledgebases/kb/documents/a"), 404)
    assert "knowledge base none does not exist" in refusal(account.data("GET", "/knowledgebases/none/documents"), 404)
    assert account.client.get("/knowledgebases/kb/documents").status_code == 401


def test_an_access_token_opens_the_documents_of_one_base(account: Account) -> None:
    made(account, "bailian", BAILIAN, "A zebra.")
    query = {"resourceType": "knowledgebase", "resourceName": "kb"}
    token = account.done("GET", f"{API}/agents/accessToken", **query)["accessToken"]
    bearer = {"authorization": f"Bearer {token}"}
    assert len(account.client.get("/knowledgebases/kb/documents", headers=bearer).json()["documents"]) == 1
    assert account.client.get("/knowledgebases/other/documents", headers=bearer).status_code == 403


def test_passwords_are_sealed_and_masked(account: Account, emulator: Emulator) -> None:
    account.done("POST", BASES, {"knowledgeBaseName": "kb", "provider": "adb", "providerSettings": ADB})
    stored = emulator.platform.store.every("KnowledgeBase")
    assert "pw-hidden" not in str([record.document for record in stored])
    assert "pw-hidden" not in str(account.done("GET", BASES))
    assert account.done("GET", f"{BASES}/kb")["providerSettings"] == ADB


# Texts


def test_paragraphs_stay_together_as_far_as_they_fit() -> None:
    assert chunks("one\n\ntwo\n \nthree") == ["one\n\ntwo\n\nthree"]
    long = "x" * (LONGEST_CHUNK - 4)
    assert chunks(f"one\n\n{long}\n\nthree") == ["one", long, "three"]
    assert chunks(" \n\n ") == []


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("A line of some words\n" * 100, ("words",)),
        ("This is a sentence. " * 100, (".",)),
        ("这是一个句子。" * 300, ("。",)),
        ("word " * 500, ("word",)),
        ("字" * 2000, ("字",)),
        ("x" * 2000, ("x",)),
    ],
)
def test_long_paragraphs_are_cut_where_they_may_be(text: str, ends: tuple[str, ...]) -> None:
    pieces = chunks(text)
    assert all(0 < len(piece) <= LONGEST_CHUNK and piece.endswith(ends) for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert len(pieces) <= 2 * len(text) / LONGEST_CHUNK + 1


def test_words_and_characters() -> None:
    assert terms("It's A_b, 中文字x") == ["it", "s", "a", "b", "中", "文", "字", "中文", "文字", "x"]
    assert query_terms("中文字 中文 字 A a") == ["中文", "文字", "字", "a"]
    assert query_terms("?!") == []
