"""Videos by Wan, from a text, an image, or an image and speech; each waits, or begins and fetches later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agentrun.integration._parameter import ToolParameter
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.model_studio._jobs import (
    AUDIO,
    AUDIO_URL,
    DURATION,
    NEGATIVE_PROMPT,
    OPTIONAL_PROMPT,
    PROMPT,
    PROMPT_EXTEND,
    RESOLUTION,
    SIZE,
    WATERMARK,
    Job,
    image_url,
    video_of,
)
from agentrun.integration.hub.model_studio._studio import Studio, StudioOptions

_VIDEO = "/services/aigc/video-generation/video-synthesis"
_SPEAKING = "/services/aigc/image2video/video-synthesis"
_TEMPLATE = ToolParameter("template", "string", "The name of an effect, such as squish, flying or carousel.")

TEXT_TO_VIDEO = Job(
    "modelstudio_text_to_video",
    "Make a video from a description.",
    "wan2.2-t2v-plus",
    _VIDEO,
    [PROMPT, NEGATIVE_PROMPT],
    [SIZE, DURATION, PROMPT_EXTEND, WATERMARK],
    video_of,
)
TEXT_TO_VIDEO_WAN25 = replace(
    TEXT_TO_VIDEO,
    name="modelstudio_text_to_video_wan25",
    model="wan2.5-t2v-preview",
    inputs=[PROMPT, NEGATIVE_PROMPT, AUDIO_URL],
    settings=[AUDIO, SIZE, DURATION, PROMPT_EXTEND, WATERMARK],
)
IMAGE_TO_VIDEO = Job(
    "modelstudio_image_to_video",
    "Make a video that begins with an image.",
    "wan2.2-i2v-flash",
    _VIDEO,
    [image_url(), OPTIONAL_PROMPT, NEGATIVE_PROMPT, _TEMPLATE],
    [RESOLUTION, DURATION, PROMPT_EXTEND, WATERMARK],
    video_of,
    wire_names={"image_url": "img_url"},
)
IMAGE_TO_VIDEO_WAN25 = replace(
    IMAGE_TO_VIDEO,
    name="modelstudio_image_to_video_wan25",
    model="wan2.5-i2v-preview",
    inputs=[image_url(), OPTIONAL_PROMPT, NEGATIVE_PROMPT, _TEMPLATE, AUDIO_URL],
    settings=[AUDIO, RESOLUTION, DURATION, PROMPT_EXTEND, WATERMARK],
)
SPEECH_TO_VIDEO = Job(
    "modelstudio_speech_to_video",
    "Make a video in which the person of an image speaks or sings what is heard.",
    "wan2.2-s2v",
    _SPEAKING,
    [image_url("The public address of the person's image."), replace(AUDIO_URL, required=True)],
    [RESOLUTION],
    video_of,
)
JOBS = (TEXT_TO_VIDEO, TEXT_TO_VIDEO_WAN25, IMAGE_TO_VIDEO, IMAGE_TO_VIDEO_WAN25, SPEECH_TO_VIDEO)


def toolset(**options: Any) -> CommonToolSet:
    """Videos by Wan; the options are those of StudioOptions."""
    studio = Studio(StudioOptions(**options))
    return CommonToolSet([tool for job in JOBS for tool in job.three(studio)])
