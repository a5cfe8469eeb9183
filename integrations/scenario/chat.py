"""A conversation with everything in it that a chat can hold."""

from __future__ import annotations

from typing import Any

from agentrun.server import Message

# The smallest picture that there is, a sound without a tone, and a document of one word.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="
DOCUMENT = "aGVsbG8="

_PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
    {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
    {"type": "video_url", "video_url": {"url": "https://example.com/cat.mp4"}},
    {"type": "file", "file": {"filename": "note.txt", "file_data": f"data:text/plain;base64,{DOCUMENT}"}},
]


def call(call_id: str, city: str) -> dict[str, Any]:
    """A call of a tool."""
    return {"id": call_id, "function": {"name": "get_weather", "arguments": f'{{"city": "{city}"}}'}}


def conversation() -> list[Message]:
    """Instructions, media, a thought, two calls at once with their results, an answer, and another question."""
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": _PARTS, "id": "m1"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "The weather matters.",
            "tool_calls": [call("c1", "Lima"), call("c2", "Oslo")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "25 degrees"},
        {"role": "tool", "tool_call_id": "c2", "content": "-5 degrees"},
        {"role": "assistant", "content": "Warm in Lima."},
        {"role": "user", "content": "Hello"},
    ]
    return [Message.model_validate(message) for message in said]
