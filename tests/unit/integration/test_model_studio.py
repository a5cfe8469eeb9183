"""The tools of Model Studio against a server that checks each request to the last field."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ClientError,
    ConfigError,
    InvalidInputError,
    InvalidResponseError,
    ToolError,
    WaitTimeoutError,
)
from agentrun.integration import hub
from agentrun.integration.hub.model_studio import images, videos
from agentrun.integration.hub.model_studio._studio import StudioOptions
from agentrun.integration.utils import Tool
from tests.unit.integration.studio import KEY, FakeStudio, failed, running, succeeded
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Server, answer, serving

TEXT_TO_IMAGE = "/services/aigc/text2image/image-synthesis"
IMAGE_TO_IMAGE = "/services/aigc/image2image/image-synthesis"
MULTIMODAL = "/services/aigc/multimodal-generation/generation"
VIDEO = "/services/aigc/video-generation/video-synthesis"


@pytest.fixture
def studio() -> FakeStudio:
    return FakeStudio()


@pytest.fixture
def server(studio: FakeStudio) -> Iterator[Server]:
    with serving(studio.behave()) as made:
        yield made


def tool(server: Server, family: str, name: str, **options: Any) -> Tool:
    given = {"api_key": KEY, "base_url": server.url, "poll_seconds": 0.01, "timeout": 20.0, **options}
    found = hub.get(f"model_studio.{family}", **given).tools()
    return next(each for each in found if each.name == f"modelstudio_{name}")


def anything(sent: Any) -> bool:
    """Any body is right."""
    return True


IMAGE_CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "image_gen",
        {"prompt": "a cat", "negative_prompt": "dogs", "size": "1024*1024", "prompt_extend": True, "watermark": False},
        TEXT_TO_IMAGE,
        {
            "model": "wan2.2-t2i-flash",
            "input": {"prompt": "a cat", "negative_prompt": "dogs"},
            "parameters": {"size": "1024*1024", "prompt_extend": True, "n": 1, "watermark": False},
        },
    ),
    (
        "image_gen_wan25",
        {"prompt": "a cat", "n": 2},
        TEXT_TO_IMAGE,
        {"model": "wan2.5-t2i-preview", "input": {"prompt": "a cat"}, "parameters": {"n": 2}},
    ),
    (
        "image_edit",
        {"function": "description_edit", "base_image_url": "https://a/b.png", "prompt": "red"},
        IMAGE_TO_IMAGE,
        {
            "model": "wanx2.1-imageedit",
            "input": {"function": "description_edit", "base_image_url": "https://a/b.png", "prompt": "red"},
            "parameters": {"n": 1},
        },
    ),
    (
        "image_edit_wan25",
        {"images": ["https://a/1", "https://a/2"], "prompt": "both"},
        IMAGE_TO_IMAGE,
        {
            "model": "wan2.5-i2i-preview",
            "input": {"images": ["https://a/1", "https://a/2"], "prompt": "both"},
            "parameters": {"n": 1},
        },
    ),
    (
        "image_style_repaint",
        {"image_url": "https://a/me", "style_index": 0},
        "/services/aigc/image-generation/generation",
        {
            "model": "wanx-style-repaint-v1",
            "input": {"image_url": "https://a/me", "style_index": 0},
            "parameters": {},
        },
    ),
]


@both_modes
@pytest.mark.parametrize(("name", "arguments", "path", "body"), IMAGE_CASES, ids=[case[0] for case in IMAGE_CASES])
def test_images_are_tasks(
    mode: str, studio: FakeStudio, server: Server, name: str, arguments: Any, path: str, body: Any
) -> None:
    studio.task(path, body, running(), succeeded({"results": [{"url": "https://x/1"}, {"code": "E", "message": "no"}]}))
    found = drive(mode, tool(server, "images", name).call_async(**arguments))
    assert found == {"results": ["https://x/1"], "failed": ["no"], "request_id": "r-3"}
    assert studio.done()
    assert studio.asynchronous == [True, False, False]


@both_modes
def test_images_of_qwen_are_answered_at_once(mode: str, studio: FakeStudio, server: Server) -> None:
    content = [{"image": "https://x/1"}, {"text": "done"}]
    then = {"output": {"choices": [{"message": {"content": content}}]}, "request_id": "r-5"}
    asked = [{"role": "user", "content": [{"text": "a cat"}]}]
    body = {"model": "qwen-image", "input": {"messages": asked}, "parameters": {"size": "1328*1328"}}
    studio.expect("POST", MULTIMODAL, body, then)
    edit = [{"role": "user", "content": [{"image": "https://a"}, {"text": "red"}]}]
    studio.expect("POST", MULTIMODAL, {"model": "mine", "input": {"messages": edit}, "parameters": {}}, then)
    made = drive(mode, tool(server, "images", "qwen_image_gen").call_async(prompt="a cat", size="1328*1328"))
    assert made == {"results": ["https://x/1"], "request_id": "r-5"}
    editing = tool(server, "images", "qwen_image_edit", models={"modelstudio_qwen_image_edit": "mine"})
    assert drive(mode, editing.call_async(image_url="https://a", prompt="red")) == made
    assert studio.done()
    assert studio.asynchronous == [False, False]


VIDEO_CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "text_to_video",
        {"prompt": "a cat", "negative_prompt": "dogs", "size": "832*480", "duration": 5},
        VIDEO,
        {
            "model": "wan2.2-t2v-plus",
            "input": {"prompt": "a cat", "negative_prompt": "dogs"},
            "parameters": {"size": "832*480", "duration": 5},
        },
    ),
    (
        "text_to_video_wan25",
        {"prompt": "a cat", "audio_url": "https://a/s", "audio": False},
        VIDEO,
        {
            "model": "wan2.5-t2v-preview",
            "input": {"prompt": "a cat", "audio_url": "https://a/s"},
            "parameters": {"audio": False},
        },
    ),
    (
        "image_to_video",
        {"image_url": "https://a/i", "template": "flying", "resolution": "720P"},
        VIDEO,
        {
            "model": "wan2.2-i2v-flash",
            "input": {"img_url": "https://a/i", "template": "flying"},
            "parameters": {"resolution": "720P"},
        },
    ),
    (
        "image_to_video_wan25",
        {"image_url": "https://a/i", "audio": True},
        VIDEO,
        {"model": "wan2.5-i2v-preview", "input": {"img_url": "https://a/i"}, "parameters": {"audio": True}},
    ),
    (
        "speech_to_video",
        {"image_url": "https://a/i", "audio_url": "https://a/s", "resolution": "480P"},
        "/services/aigc/image2video/video-synthesis",
        {
            "model": "wan2.2-s2v",
            "input": {"image_url": "https://a/i", "audio_url": "https://a/s"},
            "parameters": {"resolution": "480P"},
        },
    ),
]


@both_modes
@pytest.mark.parametrize(("name", "arguments", "path", "body"), VIDEO_CASES, ids=[case[0] for case in VIDEO_CASES])
def test_videos_are_waited_for_or_fetched_later(
    mode: str, studio: FakeStudio, server: Server, name: str, arguments: Any, path: str, body: Any
) -> None:
    # Where the address stands differs between the models.
    output = {"results": {"video_url": "https://x/v"}} if "speech" in name else {"video_url": "https://x/v"}
    ready = succeeded(output, usage={"video_duration": 5})
    studio.task(path, body, running(), ready).task(path, body, running(), ready)
    whole = {"video_url": "https://x/v", "video_duration": 5, "request_id": "r-3"}
    assert drive(mode, tool(server, "videos", name).call_async(**arguments)) == whole
    begun = drive(mode, tool(server, "videos", f"{name}_submit_task").call_async(**arguments))
    assert begun == {"task_id": "t-1", "task_status": "PENDING", "request_id": "r-1"}
    fetch = tool(server, "videos", f"{name}_fetch_result")
    assert drive(mode, fetch.call_async(task_id="t-1")) == {
        "task_id": "t-1",
        "task_status": "RUNNING",
        "video_url": None,
    }
    assert drive(mode, fetch.call_async(task_id="t-1")) == {"task_id": "t-1", "task_status": "SUCCEEDED", **whole}
    assert studio.done()


@both_modes
def test_a_text_is_spoken(mode: str, studio: FakeStudio, server: Server) -> None:
    body = {"model": "qwen-tts", "input": {"text": "hello", "voice": "Cherry"}, "parameters": {}}
    studio.expect("POST", MULTIMODAL, body, {"output": {"audio": {"url": "https://x/s.wav"}}, "request_id": "r"})
    found = drive(mode, tool(server, "speech", "qwen_tts").call_async(text="hello"))
    assert found == {"result": "https://x/s.wav", "request_id": "r"}
    assert studio.done()


@both_modes
def test_recordings_are_written_down_and_the_key_stays_here(mode: str, studio: FakeStudio, server: Server) -> None:
    body = {
        "model": "paraformer-v2",
        "input": {"file_urls": ["https://a", "https://b"]},
        "parameters": {"language_hints": ["en"]},
    }
    with serving(answer({"transcripts": [{"text": "Hello"}, {"text": " there"}]})) as files:
        good = {"file_url": "https://a", "transcription_url": f"{files.url}/a.json", "subtask_status": "SUCCEEDED"}
        bad = {"file_url": "https://b", "code": "NotFound", "message": "no file", "subtask_status": "FAILED"}
        studio.task("/services/audio/asr/transcription", body, succeeded({"results": [good, bad]}))
        transcribe = tool(server, "speech", "speech_to_text")
        found = drive(mode, transcribe.call_async(file_urls=["https://a", "https://b"], language_hints=["en"]))
        assert "authorization" not in files.requests[0].headers
    assert found == {"results": ["Hello there", ""], "request_id": "r-3", "failed": ["https://b: no file"]}
    assert studio.done()


def test_recordings_that_all_fail_are_an_error(studio: FakeStudio, server: Server) -> None:
    results = [{"file_url": "https://a", "code": "NotFound", "subtask_status": "FAILED"}]
    studio.task("/services/audio/asr/transcription", anything, succeeded({"results": results}))
    outcome = tool(server, "speech", "speech_to_text").outcome({"file_urls": ["https://a"]})
    assert isinstance(outcome.error, ToolError)
    assert "https://a: NotFound" in outcome.text


PAGES: list[dict[str, Any]] = [
    {"snippet": "s", "title": "T", "url": "https://p", "hostname": "p", "hostlogo": "l", "more": 1},
    {"title": "x"},
]


@both_modes
def test_the_web_is_searched(mode: str, studio: FakeStudio, server: Server) -> None:
    def fits(sent: Any) -> bool:
        fixed = {name: value for name, value in sent.items() if name != "rid"}
        return bool(sent["rid"]) and fixed == {
            "scene": "dolphin_search_bailian_turbo",
            "uq": "cats",
            "fields": [],
            "page": 1,
            "rows": 3,
            "headers": {"__d_head_qto": 5000},
        }

    then = {
        "status": 0,
        "message": "ok",
        "data": {"docs": PAGES, "extras": {"toolResult": [{"tool": "w", "result": 1}]}},
    }
    studio.expect("POST", "/indices/plugin/mcp_search", fits, then)
    found = drive(mode, tool(server, "search", "web_search").call_async(query="cats", count=3))
    assert found["pages"] == [{name: PAGES[0][name] for name in ("snippet", "title", "url", "hostname", "hostlogo")}]
    assert (found["status"], found["tools"]) == (0, [{"tool": "w", "result": 1}])
    assert studio.done()


def test_a_search_that_failed_is_an_error(studio: FakeStudio, server: Server) -> None:
    studio.expect("POST", "/indices/plugin/mcp_search", anything, {"status": 7, "message": "busy"})
    outcome = tool(server, "search", "web_search").outcome({"query": "cats"})
    assert isinstance(outcome.error, ToolError)
    assert (outcome.error.error_code, outcome.error.message) == ("7", "busy")


@both_modes
def test_a_conversation_is_searched_for(mode: str, studio: FakeStudio, server: Server) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "user", "content": " cats "}]

    def fits(sent: Any) -> bool:
        return (sent["uid"], sent["uq"], sent["scene"], sent["customConfigInfo"]["qpMultiQueryHistory"]) == (
            "u-1",
            "cats",
            "dolphin_search_bailian_pro",
            messages[:1],
        )

    studio.expect("POST", "/indices/plugin/web_search", fits, {"status": 0, "data": {"docs": PAGES}})
    search = tool(server, "search", "search_pro", user_id="u-1")
    found = drive(mode, search.call_async(messages=messages, search_options={"search_strategy": "pro"}))
    assert found["search_result"] == "[1] T\ns"
    assert studio.done()
    assert "There are lite" in search.outcome({"messages": messages, "search_options": {"search_strategy": "x"}}).text
    assert "no text" in search.outcome({"messages": []}).text
    nobody = tool(server, "search", "search_pro")
    assert isinstance(nobody.outcome({"messages": messages}).error, ConfigError)


@both_modes
def test_knowledge_is_retrieved(mode: str, studio: FakeStudio, server: Server) -> None:
    messages = [{"role": "system", "content": "Use ${documents}."}, {"role": "user", "content": "what?"}]
    options = {"index_names": ["my docs"], "pipeline_ids": ["p-1"], "file_ids": ["f"], "rerank_top_n": 3}
    body = {
        "file_id_list": ["f"],
        "rerank_top_n": 3,
        "query": "what?",
        "system_prompt": "Use ${documents}.",
        "query_history": messages[:1],
        "prompt_max_token_length": [1500],
    }
    named = {"code": "Success", "id": "p-2"}
    by_name = "/indices/pipeline_simple?pipeline_name=my%20docs"
    nodes = [{"node": {"text": "n"}, "score": 0.5}]
    studio.expect("GET", by_name, None, named)
    then = {"data": [{"text": "TEXT", "nodes": nodes}]}
    studio.expect("POST", "/indices/pipeline/retrieve_prompt", {**body, "pipeline_id_list": ["p-1", "p-2"]}, then)
    found = drive(mode, tool(server, "rag", "RAG").call_async(messages=messages, rag_options=options))
    assert (found["rag_result"], found["raw_result"]) == ("TEXT", nodes)
    assert found["messages"][0]["content"] == "Use TEXT."
    assert studio.done()


@both_modes
def test_pieces_are_retrieved_from_each_knowledge_base(mode: str, studio: FakeStudio, server: Server) -> None:
    messages = [{"role": "user", "content": "what?"}]
    body = {"query": "what?", "prompt_max_token_length": [9], "image_list": ["https://i"], "workspace_id": "w"}
    studio.expect("POST", "/indices/pipeline/p%2F1/retrieve", body, {"nodes": [1, 2]})
    arguments = {"messages": messages, "rag_options": {"pipeline_ids": ["p/1"]}, "rest_token": 9}
    more = {"image_urls": ["https://i"], "workspace_id": "w"}
    found = drive(mode, tool(server, "rag", "RAG_lite").call_async(**arguments, **more))
    assert found == {"raw_result": [1, 2], "rag_result": "", "messages": messages}
    assert studio.done()
    assert "where to look" in tool(server, "rag", "RAG_lite").outcome({"messages": messages}).text


def test_an_index_that_is_not_there_is_told(studio: FakeStudio, server: Server) -> None:
    studio.expect("GET", "/indices/pipeline_simple?pipeline_name=x", None, {"code": "NotFound", "message": "no such"})
    given = {"messages": [{"role": "user", "content": "a"}], "rag_options": {"index_names": ["x"]}}
    assert "no such" in tool(server, "rag", "RAG").outcome(given).text


# What goes wrong


@both_modes
def test_a_task_that_fails_is_an_error_with_its_reason(mode: str, studio: FakeStudio, server: Server) -> None:
    studio.task(VIDEO, anything, running(), failed("InvalidParameter.DataInspection", "not allowed"))
    outcome = drive(mode, tool(server, "videos", "text_to_video").outcome_async({"prompt": "x"}))
    assert isinstance(outcome.error, ToolError)
    assert (outcome.error.error_code, outcome.error.message) == ("InvalidParameter.DataInspection", "not allowed")


@both_modes
def test_a_task_that_takes_too_long_goes_on_without_us(mode: str, studio: FakeStudio, server: Server) -> None:
    studio.task(VIDEO, anything, *[running()] * 200)
    late = tool(server, "videos", "text_to_video", wait_seconds=0.05)
    outcome = drive(mode, late.outcome_async({"prompt": "x"}))
    assert isinstance(outcome.error, WaitTimeoutError)
    assert "task t-1" in outcome.text


def test_an_unknown_task_is_an_error(studio: FakeStudio, server: Server) -> None:
    studio.expect("GET", "/tasks/t-9", None, {"output": {"task_id": "t-9", "task_status": "UNKNOWN"}})
    fetch = tool(server, "videos", "text_to_video_fetch_result")
    assert "UNKNOWN" in fetch.outcome({"task_id": "t-9"}).text
    assert "no task id" in fetch.outcome({"task_id": "../apps/x"}).text
    assert studio.done()


def test_what_the_service_refuses_is_an_error_with_its_code(studio: FakeStudio, server: Server) -> None:
    refused = {"code": "InvalidParameter", "message": "size is wrong", "request_id": "r-4"}
    studio.expect("POST", TEXT_TO_IMAGE, anything, (400, refused))
    error = tool(server, "images", "image_gen").outcome({"prompt": "x"}).error
    assert isinstance(error, ClientError)
    assert (error.status_code, error.error_code, error.message) == (400, "InvalidParameter", "size is wrong")


@pytest.mark.parametrize("body", [{}, {"output": {}}, {"output": None}])
def test_an_answer_without_what_was_asked_for_is_an_error(studio: FakeStudio, server: Server, body: Any) -> None:
    for family, name, arguments in (
        ("images", "image_gen", {"prompt": "x"}),
        ("images", "qwen_image_gen", {"prompt": "x"}),
        ("speech", "qwen_tts", {"text": "x"}),
    ):
        studio.expected.clear()
        studio.expect("POST", TEXT_TO_IMAGE if name == "image_gen" else MULTIMODAL, anything, body)
        assert isinstance(tool(server, family, name).outcome(arguments).error, InvalidResponseError)


def test_wrong_arguments_are_named_before_anything_is_sent(studio: FakeStudio, server: Server) -> None:
    for name, arguments, field in (
        ("image_gen", {}, "prompt"),
        ("image_gen", {"prompt": 1}, "prompt"),
        ("image_gen", {"prompt": "x", "colour": "red"}, "colour"),
        ("image_edit", {"function": "paint", "base_image_url": "a", "prompt": "x"}, "function"),
        ("image_edit_wan25", {"images": [1], "prompt": "x"}, "images"),
    ):
        error = tool(server, "images", name).outcome(arguments).error
        assert isinstance(error, InvalidInputError)
        assert error.field == field
    assert server.requests == []


# The key


def test_without_a_key_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    outcome = hub.get("model_studio.images").tools()[0].outcome({"prompt": "x"})
    assert isinstance(outcome.error, ConfigError)
    assert "DASHSCOPE_API_KEY" in outcome.text
    assert "credential_name" in outcome.text


def test_the_key_and_the_place_may_be_in_the_environment(
    studio: FakeStudio, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", server.url)
    studio.expect("POST", MULTIMODAL, anything, {"output": {"audio": {"url": "u"}}})
    assert hub.get("model_studio.speech").tools()[0](text="a")["result"] == "u"


def test_a_wrong_key_is_refused_and_never_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        speak = tool(server, "speech", "qwen_tts", api_key="sk-canary-wrong")
        outcome = speak.outcome({"text": "a"})
    assert isinstance(outcome.error, AuthenticationError)
    shown = [repr(speak), repr(speak.perform), outcome.text, repr(outcome), repr(vars(outcome.error)), caplog.text]
    shown.append(repr(StudioOptions(api_key="sk-canary-wrong")))
    assert not any("sk-canary" in text for text in shown)


def test_ten_at_once_do_not_mix(server: Server, studio: FakeStudio) -> None:
    for _ in range(10):
        studio.expect("POST", MULTIMODAL, anything, {"output": {"audio": {"url": "u"}}})
    speak = tool(server, "speech", "qwen_tts")

    async def main() -> list[Any]:
        return await asyncio.gather(*(speak.call_async(text=str(number)) for number in range(10)))

    assert [found["result"] for found in asyncio.run(main())] == ["u"] * 10
    assert sorted(json.loads(r.body)["input"]["text"] for r in server.requests) == [str(n) for n in range(10)]


def test_every_job_has_a_case() -> None:
    assert {f"modelstudio_{case[0]}" for case in IMAGE_CASES} == {job.name for job in images.TASKS}
    assert {f"modelstudio_{case[0]}" for case in VIDEO_CASES} == {job.name for job in videos.JOBS}
    assert issubclass(ToolError, AgentRunError)
