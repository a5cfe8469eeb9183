"""Messages for frameworks: those that need none installed, what parts are made of, and what is said of the others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.server import Message
from agentrun.server.frameworks import FRAMEWORKS, framework_messages
from agentrun.server.frameworks.parts import Part, parts_of
from integrations.scenario.chat import DOCUMENT, PICTURE, SOUND, conversation

PNG = f"data:image/png;base64,{PICTURE}"


def part_of(**fields: Any) -> Part:
    (part,) = parts_of(Message.model_validate({"role": "user", "content": [fields]}))
    return part


def test_text_is_what_the_user_said_last() -> None:
    assert framework_messages("text", conversation()) == "Hello"
    assert framework_messages("text", conversation()[:6]) == "What is this?"
    assert framework_messages("text", []) == ""


@pytest.mark.parametrize("framework", [None, "openai"])
def test_without_a_framework_messages_are_dicts(framework: str | None) -> None:
    made = framework_messages(framework, conversation())
    assert made[0] == {"role": "system", "content": "Be brief."}
    assert made[2]["reasoning_content"] == "The weather matters."
    assert [call["id"] for call in made[2]["tool_calls"]] == ["c1", "c2"]
    assert [Message.model_validate(message) for message in made] == conversation()


@pytest.mark.parametrize("framework", ["openai-agents", "openai_agents"])
def test_items_of_the_openai_agents_sdk(framework: str) -> None:
    system, user, thought, spoken, _, call, _, output, said, last = framework_messages(framework, conversation())
    assert system == {"role": "system", "content": "Be brief."}
    text, shown, linked, heard, seen, opened = user["content"]
    assert text == {"type": "input_text", "text": "What is this?"}
    assert shown == {"type": "input_image", "detail": "auto", "image_url": PNG}
    assert linked["image_url"] == "https://example.com/cat.jpg"
    assert heard["input_audio"] == {"data": SOUND, "format": "wav"}
    assert seen["video_url"] == {"url": "https://example.com/cat.mp4"}
    assert (opened["filename"], opened["file_data"]) == ("note.txt", f"data:text/plain;base64,{DOCUMENT}")
    assert thought["summary"] == [{"type": "summary_text", "text": "The weather matters."}]
    assert spoken == {"role": "assistant", "content": "Let me look."}
    named = {"call_id": "c2", "name": "get_weather", "arguments": '{"city": "Oslo"}'}
    assert call == {"type": "function_call", **named}
    assert output == {"type": "function_call_output", "call_id": "c2", "output": "-5 degrees"}
    assert (said["content"], last["content"]) == ("Warm in Lima.", "Hello")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"type": "image_url", "image_url": PNG}, Part("image", data=PICTURE, media_type="image/png")),
        ({"type": "input_image", "image_url": PNG}, Part("image", data=PICTURE, media_type="image/png")),
        ({"type": "image_url", "image_url": {"url": "http://x/a"}},
         Part("image", url="http://x/a", media_type="image/png")),
        ({"type": "image", "source": {"type": "url", "url": "http://x/a.gif"}},
         Part("image", url="http://x/a.gif", media_type="image/gif")),
        ({"type": "image", "source": {"type": "data", "value": PICTURE, "mimeType": "image/webp"}},
         Part("image", data=PICTURE, media_type="image/webp")),
        ({"type": "audio", "source": {"type": "url", "value": "http://x/a.mp3"}},
         Part("audio", url="http://x/a.mp3", media_type="audio/mpeg")),
        ({"type": "input_audio", "input_audio": {"data": SOUND, "format": "mp3"}},
         Part("audio", data=SOUND, media_type="audio/mpeg")),
        ({"type": "input_audio", "input_audio": {"data": "https://x/a.wav", "format": "wav"}},
         Part("audio", url="https://x/a.wav", media_type="audio/wav")),
        ({"type": "file", "file": {"file_id": "f1"}},
         Part("file", file_id="f1", media_type="application/octet-stream")),
        ({"type": "file", "file": {"file_url": "http://x/a.pdf"}},
         Part("file", url="http://x/a.pdf", media_type="application/pdf")),
        ({"type": "binary", "mimeType": "audio/ogg", "data": SOUND}, Part("audio", data=SOUND, media_type="audio/ogg")),
        ({"type": "refusal", "refusal": "No."}, Part("text", "No.")),
        ({"type": "unheard_of", "x": 1}, Part("text", '{"type":"unheard_of","x":1}')),
    ],
)  # fmt: skip
def test_parts_are_read_whatever_their_protocol(written: dict[str, Any], read: Part) -> None:
    found = part_of(**written)
    if read.kind == "text":
        assert found.text.replace(" ", "") == read.text.replace(" ", "")
    else:
        assert found == read


def test_a_part_knows_its_place_and_its_name() -> None:
    sound = part_of(type="input_audio", input_audio={"data": SOUND, "format": "mp3"})
    assert (sound.format, sound.location) == ("mp3", f"data:audio/mpeg;base64,{SOUND}")
    upload = part_of(type="file", file={"file_id": "f1", "filename": "a.pdf"})
    assert (upload.location, upload.label) == (None, "[file a.pdf application/pdf: f1]")


def test_a_framework_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'crew' is no framework") as refused:
        framework_messages("crew", [])
    assert all(name in str(refused.value) for name in FRAMEWORKS)


@pytest.mark.parametrize(
    ("framework", "package", "extra"),
    [
        ("agentscope", "agentscope", "agentscope"),
        ("langgraph", "langchain_core", "langgraph"),
        ("langchain", "langchain_core", "langchain"),
        ("pydantic-ai", "pydantic_ai", "pydantic_ai"),
        ("agno", "agno", "agno"),
        ("autogen", "autogen_agentchat", "autogen"),
    ],
)
def test_one_that_is_not_installed_is_told_in_one_line(
    framework: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    told = rf"^framework='{framework}' needs {package}: pip install 'agentrun\[{extra}\]'$"
    with pytest.raises(ImportError, match=told):
        framework_messages(framework, [])


def test_frameworks_are_loaded_when_they_are_asked_for() -> None:
    program = "import sys, agentrun.server.frameworks; print([name for name in sys.modules if 'frameworks.' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
