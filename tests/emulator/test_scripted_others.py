"""Embeddings, rerank and moderation of the scripted model."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import openai
import pytest

from agentrun.emulator.scripted import Script, ScriptedModel
from agentrun.emulator.scripted.rerank import relevance
from tests.emulator.scripted import Served

TEXTS = [
    "The cat sleeps on the warm sofa.",
    "A cat sleeps in a box",
    "Quarterly revenue grew, again!",
    "THE CAT SLEEPS ON THE WARM SOFA",
    "今天天气很好",
    "明天天气不好",
]


def nearness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def embedded(served: Served, texts: Any, **options: Any) -> list[list[float]]:
    client = served.serve(ScriptedModel())
    return [each.embedding for each in client.embeddings.create(model="m", input=texts, **options).data]


@pytest.mark.parametrize("dimensions", [1, 2, 256, 1536, 4096])
def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone(served: Served, dimensions: int) -> None:
    vectors = embedded(served, TEXTS, dimensions=dimensions)
    assert [len(vector) for vector in vectors] == [dimensions] * len(TEXTS)
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-5) for vector in vectors)
    assert embedded(served, TEXTS[1], dimensions=dimensions) == [vectors[1]]
    assert vectors[0] == vectors[3]


def test_texts_that_share_words_are_nearer(served: Served) -> None:
    vectors = embedded(served, TEXTS)
    assert len(vectors[0]) == 256
    assert nearness(vectors[0], vectors[1]) > 0.2 > abs(nearness(vectors[0], vectors[2]))
    assert nearness(vectors[4], vectors[5]) > 0.5 > abs(nearness(vectors[4], vectors[0]))


def test_both_formats_say_the_same(served: Served) -> None:
    # Without a format the client asks for base64 and decodes it.
    assert embedded(served, TEXTS) == embedded(served, TEXTS, encoding_format="float")


def test_tokens_and_usage(served: Served) -> None:
    client = served.serve(ScriptedModel())
    one = client.embeddings.create(model="m", input=[1, 2, 3])
    several = client.embeddings.create(model="m", input=[[1, 2, 3], [4]])
    assert (one.usage.prompt_tokens, several.usage.total_tokens) == (3, 4)
    assert one.data[0].embedding == several.data[0].embedding != several.data[1].embedding
    assert [each.index for each in several.data] == [0, 1]
    assert client.embeddings.create(model="m", input="fiver").usage.prompt_tokens == 2


def ask_rerank(served: Served, **fields: Any) -> dict[str, Any]:
    served.serve(ScriptedModel())
    response = served.post(json.dumps({"model": "m", **fields}), path="/v1/rerank")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_rerank(served: Served) -> None:
    documents = ["nothing of it", "warm cat", {"text": "the cat on the sofa"}, "nothing either"]
    answer = ask_rerank(served, query="cat sofa", documents=documents)
    assert [result["index"] for result in answer["results"]] == [2, 1, 0, 3]
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == [0.707107, 0.5, 0.0, 0.0]
    assert answer["usage"] == {"prompt_tokens": 17, "total_tokens": 17}
    assert not any("document" in result for result in answer["results"])
    top = ask_rerank(served, query="cat sofa", documents=documents, top_n=1, return_documents=True)
    assert top["results"] == [{"index": 2, "relevance_score": 0.707107, "document": {"text": "the cat on the sofa"}}]
    assert len(ask_rerank(served, query="x", documents=documents, top_n=99)["results"]) == 4


def test_relevance() -> None:
    assert relevance("Same words", "words, same!") == 1
    assert relevance("天气", "天气很好") > relevance("天气", "天才") > relevance("天气", "good") == 0


def test_moderation_flags_nothing_by_itself(served: Served) -> None:
    answer = served.serve(ScriptedModel()).moderations.create(input="I will hurt you")
    assert answer.model == "omni-moderation-latest"
    assert [result.flagged for result in answer.results] == [False]


def test_moderation_by_rules(served: Served) -> None:
    script = Script(moderation={"violence": ["hurt", re.compile("kill(s|ed)?")], "self-harm/intent": "myself"})
    client = served.serve(ScriptedModel(script))
    answer = client.moderations.create(model="m", input=["hello", "it killed and hurt myself"])
    assert [result.flagged for result in answer.results] == [False, True]
    found = answer.results[1]
    assert (found.categories.violence, found.categories.self_harm_intent, found.categories.hate) == (True, True, False)
    assert (found.category_scores.violence, found.category_scores.hate) == (1, 0)
    parts: Any = [{"type": "text", "text": "hurt"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert [result.flagged for result in client.moderations.create(input=parts).results] == [True]


def test_moderation_knows_its_categories() -> None:
    with pytest.raises(ValueError, match="did you mean 'violence'"):
        Script(moderation={"violense": "hurt"})


INVALID: list[tuple[str, dict[str, Any], str, str]] = [
    ("embeddings", {}, "missing_required_parameter", "input"),
    ("embeddings", {"input": "x", "model": None}, "missing_required_parameter", "model"),
    ("embeddings", {"input": ""}, "invalid_value", "input"),
    ("embeddings", {"input": []}, "empty_array", "input"),
    ("embeddings", {"input": ["x", ""]}, "invalid_value", "input[1]"),
    ("embeddings", {"input": ["x", 1]}, "invalid_type", "input[1]"),
    ("embeddings", {"input": [1, "x"]}, "invalid_type", "input[1]"),
    ("embeddings", {"input": [[]]}, "empty_array", "input[0]"),
    ("embeddings", {"input": ["x"] * 2049}, "invalid_value", "input"),
    ("embeddings", {"input": {"text": "x"}}, "invalid_type", "input"),
    ("embeddings", {"input": "x", "dimensions": 0}, "invalid_value", "dimensions"),
    ("embeddings", {"input": "x", "dimensions": 4097}, "invalid_value", "dimensions"),
    ("embeddings", {"input": "x", "dimensions": True}, "invalid_type", "dimensions"),
    ("embeddings", {"input": "x", "encoding_format": "hex"}, "invalid_value", "encoding_format"),
    ("rerank", {"documents": ["x"]}, "missing_required_parameter", "query"),
    ("rerank", {"query": "x"}, "missing_required_parameter", "documents"),
    ("rerank", {"query": "x", "documents": []}, "empty_array", "documents"),
    ("rerank", {"query": "x", "documents": "x"}, "invalid_type", "documents"),
    ("rerank", {"query": "x", "documents": [{"title": "x"}]}, "invalid_type", "documents[0].text"),
    ("rerank", {"query": "x", "documents": ["x"], "top_n": 0}, "invalid_value", "top_n"),
    ("rerank", {"query": "x", "documents": ["x"], "return_documents": 1}, "invalid_type", "return_documents"),
    ("moderations", {}, "missing_required_parameter", "input"),
    ("moderations", {"input": []}, "empty_array", "input"),
    ("moderations", {"input": 5}, "invalid_type", "input"),
    ("moderations", {"input": [{"type": "smell"}]}, "invalid_value", "input[0].type"),
    ("moderations", {"input": "x", "model": 5}, "invalid_type", "model"),
]


@pytest.mark.parametrize(("path", "fields", "code", "param"), INVALID)
def test_invalid_requests(served: Served, path: str, fields: dict[str, Any], code: str, param: str) -> None:
    served.serve(ScriptedModel())
    response = served.post(json.dumps({"model": "m", **fields}), path=f"/v1/{path}")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize("path", ["embeddings", "rerank", "moderations", "responses"])
def test_every_path_asks_for_a_key_and_a_model_that_exists(served: Served, path: str) -> None:
    served.serve(ScriptedModel(Script(models=["known"])))
    assert served.post("{}", key="", path=f"/v1/{path}").status_code == 401
    fields = {"model": "unknown", "input": "x", "query": "x", "documents": ["x"]}
    response = served.post(json.dumps(fields), path=f"/v1/{path}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_what_is_not_served_says_so(served: Served) -> None:
    client = served.serve(ScriptedModel())
    with pytest.raises(openai.InternalServerError, match="does not serve"):
        client.responses.retrieve("resp_1")
