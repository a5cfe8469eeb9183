"""Speech: a text spoken by Qwen-TTS, recordings written down by Paraformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.blocking import gather
from agentrun.errors import InvalidResponseError, ToolError
from agentrun.integration._parameter import ToolParameter
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.model_studio._jobs import Job
from agentrun.integration.hub.model_studio._studio import Studio, StudioOptions, output_of


def _sound(answer: Mapping[str, Any]) -> dict[str, Any]:
    audio: Mapping[str, Any] = output_of(answer).get("audio") or {}
    if not audio.get("url"):
        raise InvalidResponseError("Model Studio answered without a sound")
    return {"result": audio["url"], "request_id": answer.get("request_id")}


QWEN_TTS = Job(
    "modelstudio_qwen_tts",
    "Speak a text in Chinese or English; tells the address of the sound.",
    "qwen-tts",
    "/services/aigc/multimodal-generation/generation",
    [
        ToolParameter("text", "string", "What to say.", required=True),
        ToolParameter("voice", "string", "Who says it, such as Cherry, Serena, Ethan or Chelsie.", default="Cherry"),
    ],
    [],
    _sound,
)
TRANSCRIPTION = Job(
    "modelstudio_speech_to_text",
    "Write down what is said in recordings.",
    "paraformer-v2",
    "/services/audio/asr/transcription",
    [
        ToolParameter(
            "file_urls", "array", "The public addresses of the recordings.", required=True, items={"type": "string"}
        ),
    ],
    [
        ToolParameter(
            "language_hints", "array", "The languages spoken, such as zh, en, ja or de.", items={"type": "string"}
        ),
    ],
    lambda answer: dict(answer),
)


def _transcribing(studio: Studio) -> Tool:
    async def text_of(recording: Mapping[str, Any]) -> str:
        address = recording.get("transcription_url")
        if not address:
            return ""
        written = await studio.download(str(address))
        return "".join(str(part.get("text") or "") for part in written.get("transcripts") or ())

    async def perform(arguments: dict[str, Any]) -> dict[str, Any]:
        begun = await studio.submit(TRANSCRIPTION.path, TRANSCRIPTION.body(studio, arguments))
        answer = await studio.finished(TRANSCRIPTION.name, begun["task_id"])
        recordings: list[Mapping[str, Any]] = output_of(answer).get("results") or []
        failed = [_failure(each) for each in recordings if not each.get("transcription_url")]
        if recordings and len(failed) == len(recordings):
            raise ToolError("; ".join(failed), tool=TRANSCRIPTION.name)
        texts = await gather(map(text_of, recordings))
        return {"results": texts, "request_id": answer.get("request_id"), **({"failed": failed} if failed else {})}

    return TRANSCRIPTION.tool(studio, perform)


def _failure(recording: Mapping[str, Any]) -> str:
    reason = recording.get("message") or recording.get("code") or recording.get("subtask_status")
    return f"{recording.get('file_url')}: {reason}"


def toolset(**options: Any) -> CommonToolSet:
    """Speech by Qwen-TTS and Paraformer; the options are those of StudioOptions."""
    studio = Studio(StudioOptions(**options))
    return CommonToolSet([QWEN_TTS.direct(studio), _transcribing(studio)])
