"""Images by Wan and Qwen: made, edited, restyled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentrun.errors import InvalidResponseError
from agentrun.integration._parameter import ToolParameter
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.model_studio._jobs import (
    COUNT,
    NEGATIVE_PROMPT,
    PROMPT,
    PROMPT_EXTEND,
    SIZE,
    WATERMARK,
    Job,
    image_url,
    images_of,
)
from agentrun.integration.hub.model_studio._studio import Studio, StudioOptions, output_of

_TEXT_TO_IMAGE = "/services/aigc/text2image/image-synthesis"
_IMAGE_TO_IMAGE = "/services/aigc/image2image/image-synthesis"
_RESTYLE = "/services/aigc/image-generation/generation"
_MULTIMODAL = "/services/aigc/multimodal-generation/generation"
FUNCTIONS = [
    *("stylization_all", "stylization_local", "description_edit", "description_edit_with_mask", "remove_watermark"),
    *("expand", "super_resolution", "colorization", "doodle", "control_cartoon_feature"),
]


def _contents(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices: list[Mapping[str, Any]] = output_of(answer).get("choices") or [{}]
    message: Mapping[str, Any] = choices[0].get("message") or {}
    return message.get("content") or []


def _pictures(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The addresses of the images in a message."""
    found = [part["image"] for part in _contents(answer) if part.get("image")]
    if not found:
        raise InvalidResponseError("Model Studio answered without an image")
    return {"results": found, "request_id": answer.get("request_id")}


def _message(given: Mapping[str, Any]) -> Mapping[str, Any]:
    image = [{"image": given["image_url"]}] if "image_url" in given else []
    return {"messages": [{"role": "user", "content": [*image, {"text": given["prompt"]}]}]}


IMAGE_GEN = Job(
    "modelstudio_image_gen",
    "Make images from a description.",
    "wan2.2-t2i-flash",
    _TEXT_TO_IMAGE,
    [PROMPT, NEGATIVE_PROMPT],
    [SIZE, PROMPT_EXTEND, COUNT, WATERMARK],
    images_of,
)
IMAGE_GEN_WAN25 = replace(IMAGE_GEN, name="modelstudio_image_gen_wan25", model="wan2.5-t2i-preview")
IMAGE_EDIT = Job(
    "modelstudio_image_edit",
    "Change an image as described: its style, its content, its size, its colours.",
    "wanx2.1-imageedit",
    _IMAGE_TO_IMAGE,
    [
        ToolParameter("function", "string", "What to do with the image.", required=True, enum=FUNCTIONS),
        ToolParameter("base_image_url", "string", "The public address of the image.", required=True),
        PROMPT,
        ToolParameter("mask_image_url", "string", "White where to change it; for description_edit_with_mask."),
    ],
    [COUNT, WATERMARK],
    images_of,
)
IMAGE_EDIT_WAN25 = Job(
    "modelstudio_image_edit_wan25",
    "Make an image out of others as described.",
    "wan2.5-i2i-preview",
    _IMAGE_TO_IMAGE,
    [
        ToolParameter(
            "images", "array", "The public addresses of the images.", required=True, items={"type": "string"}
        ),
        PROMPT,
        NEGATIVE_PROMPT,
    ],
    [COUNT, WATERMARK],
    images_of,
)
STYLE_REPAINT = Job(
    "modelstudio_image_style_repaint",
    "Paint a portrait anew in another style.",
    "wanx-style-repaint-v1",
    _RESTYLE,
    [
        image_url("The public address of the portrait."),
        ToolParameter(
            "style_index",
            "integer",
            "The style: -1 as in style_ref_url, 0 retro comics, 1 3D fairy tale, 2 anime, 3 fresh, 4 future, 5 ink "
            "painting, 6 oil painting and so on.",
            required=True,
        ),
        ToolParameter("style_ref_url", "string", "The public address of an image in the style, when it is -1."),
        WATERMARK,
    ],
    [],
    images_of,
)
QWEN_IMAGE_GEN = Job(
    "modelstudio_qwen_image_gen",
    "Make an image from a description, also with writing in it.",
    "qwen-image",
    _MULTIMODAL,
    [PROMPT],
    [NEGATIVE_PROMPT, SIZE, replace(COUNT, default=None), PROMPT_EXTEND, WATERMARK],
    _pictures,
    compose=_message,
)
QWEN_IMAGE_EDIT = Job(
    "modelstudio_qwen_image_edit",
    "Change an image as described, also the writing in it.",
    "qwen-image-edit",
    _MULTIMODAL,
    [image_url(), PROMPT],
    [NEGATIVE_PROMPT, WATERMARK],
    _pictures,
    compose=_message,
)
TASKS = (IMAGE_GEN, IMAGE_GEN_WAN25, IMAGE_EDIT, IMAGE_EDIT_WAN25, STYLE_REPAINT)
CALLS = (QWEN_IMAGE_GEN, QWEN_IMAGE_EDIT)


def toolset(**options: Any) -> CommonToolSet:
    """Images by Wan and Qwen; the options are those of StudioOptions."""
    studio = Studio(StudioOptions(**options))
    return CommonToolSet([*(job.waiting(studio) for job in TASKS), *(job.direct(studio) for job in CALLS)])
