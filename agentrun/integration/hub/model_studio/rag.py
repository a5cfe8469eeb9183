"""Retrieval from knowledge bases that are kept in Model Studio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from agentrun._core.blocking import gather
from agentrun.errors import InvalidInputError, ToolError
from agentrun.integration._parameter import ToolParameter
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.model_studio._jobs import made
from agentrun.integration.hub.model_studio._studio import Studio, StudioOptions

_BY_NAME = "/indices/pipeline_simple"
_PROMPT = "/indices/pipeline/retrieve_prompt"
# Options that travel under another name, and those that are ours.
_WIRE = {
    "file_ids": "file_id_list",
    "prompt_strategy": "prompt_strategy_name",
    "enable_citation": "prompt_enable_citation",
}
_OURS = ("index_names", "pipeline_ids", "replaced_word")
_PLACE = "${documents}"
_PARAMETERS = (
    ToolParameter(
        "messages",
        "array",
        "The conversation; its last message is what to look for.",
        required=True,
        items={"type": "object"},
    ),
    ToolParameter(
        "rag_options",
        "object",
        "index_names or pipeline_ids say where to look; file_ids, maximum_allowed_chunk_num, rerank_top_n and others.",
    ),
    ToolParameter("rest_token", "integer", "How many tokens there is room for.", default=1500),
    ToolParameter("image_urls", "array", "Images to look for, by their public addresses.", items={"type": "string"}),
    ToolParameter("workspace_id", "string", "The workspace that has the knowledge bases."),
)


def _options(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    options: Mapping[str, Any] = arguments.get("rag_options") or {}
    return options


def _body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    messages: Sequence[Mapping[str, Any]] = arguments["messages"]
    query = messages[-1].get("content") if messages else None
    if not isinstance(query, str) or not query.strip():
        raise InvalidInputError("the last message has no text to look for", field="messages")
    options = _options(arguments)
    system = next((message.get("content") for message in messages if message.get("role") == "system"), None)
    given = {
        "query": query,
        "system_prompt": system,
        "query_history": list(messages[:-1]) or None,
        "image_list": arguments.get("image_urls") or None,
        "prompt_max_token_length": [arguments["rest_token"]],
        "workspace_id": arguments.get("workspace_id") or None,
    }
    named = {_WIRE.get(name, name): value for name, value in options.items() if name not in _OURS}
    return {**named, **{name: value for name, value in given.items() if value is not None}}


async def _pipelines(studio: Studio, tool: str, options: Mapping[str, Any]) -> list[str]:
    """The ids of the knowledge bases to look in; those that were named are looked up."""

    async def id_of(name: str) -> str:
        answer = await studio.call("GET", _BY_NAME, query={"pipeline_name": name})
        if not answer.get("id"):
            raise ToolError(str(answer.get("message") or f"there is no index {name!r}"), tool=tool)
        return str(answer["id"])

    named = await gather(id_of(str(name)) for name in options.get("index_names") or ())
    found = [*map(str, options.get("pipeline_ids") or ()), *named]
    if not found:
        raise InvalidInputError(
            f"{tool} does not know where to look",
            field="rag_options",
            hint="Give index_names or pipeline_ids in rag_options",
        )
    return found


def _filled(messages: Sequence[Mapping[str, Any]], word: str, text: str) -> list[dict[str, Any]]:
    """The messages with the text in the place that the system's message keeps for it."""

    def changed(message: Mapping[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        is_place = message.get("role") == "system" and isinstance(content, str)
        return {**message, "content": cast("str", content).replace(word, text)} if is_place else dict(message)

    return [changed(message) for message in messages]


def _rag(studio: Studio) -> Tool:
    name = "modelstudio_RAG"

    async def perform(arguments: dict[str, Any]) -> dict[str, Any]:
        options = _options(arguments)
        body = _body(arguments)
        body["pipeline_id_list"] = await _pipelines(studio, name, options)
        answer = await studio.call("POST", _PROMPT, body=body)
        listed: Sequence[Mapping[str, Any]] = answer.get("data") or [{}]
        found = listed[0]
        text = str(found.get("text") or "")
        messages = _filled(arguments["messages"], str(options.get("replaced_word") or _PLACE), text)
        return {"raw_result": list(found.get("nodes") or ()), "rag_result": text, "messages": messages}

    return made(name, "Find what knowledge bases hold on the last message, as one text.", _PARAMETERS, perform)


def _rag_lite(studio: Studio) -> Tool:
    name = "modelstudio_RAG_lite"

    async def perform(arguments: dict[str, Any]) -> dict[str, Any]:
        body = _body(arguments)
        pipelines = await _pipelines(studio, name, _options(arguments))

        async def nodes(pipeline: str) -> list[Any]:
            answer = await studio.call("POST", f"/indices/pipeline/{quote(pipeline, safe='')}/retrieve", body=body)
            return list(answer.get("nodes") or ())

        found = [node for listed in await gather(map(nodes, pipelines)) for node in listed]
        return {"raw_result": found, "rag_result": "", "messages": arguments["messages"]}

    return made(name, "Find pieces of knowledge bases that fit the last message.", _PARAMETERS, perform)


def toolset(**options: Any) -> CommonToolSet:
    """Retrieval from Model Studio's knowledge bases; the options are those of StudioOptions."""
    studio = Studio(StudioOptions(**options))
    return CommonToolSet([_rag(studio), _rag_lite(studio)])
