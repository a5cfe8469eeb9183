"""Search of the web by Model Studio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from agentrun.errors import ConfigError, InvalidInputError, ToolError
from agentrun.integration._parameter import ToolParameter
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub.model_studio._jobs import made
from agentrun.integration.hub.model_studio._studio import Studio, StudioOptions

_WEB_SEARCH = "/indices/plugin/mcp_search"
_SEARCH_PRO = "/indices/plugin/web_search"
_ROWS = 10
# What each strategy is called at the service, and its limit there in milliseconds.
STRATEGIES = {
    "lite": ("dolphin_search_bailian_lite", 3000),
    "standard": ("dolphin_search_bailian_standard", 3000),
    "pro": ("dolphin_search_bailian_pro", 5000),
    "pro_max": ("dolphin_search_bailian_proMax", 5000),
    "pro_ultra": ("dolphin_search_bailian_proUltra", 6000),
    "image": ("dolphin_search_360_image", 3000),
    "turbo": ("dolphin_search_bailian_turbo", 5000),
    "max": ("dolphin_search_bailian_max", 5000),
}
_PAGE = ("snippet", "title", "url", "hostname", "hostlogo")


def _asked(strategy: str, query: str, rows: int, request_id: str) -> dict[str, Any]:
    scene, milliseconds = STRATEGIES[strategy]
    return {
        "scene": scene,
        "uq": query,
        "rid": request_id,
        "fields": [],
        "page": 1,
        "rows": rows,
        "headers": {"__d_head_qto": milliseconds},
    }


def _found(tool: str, answer: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Any]]:
    """The pages of an answer, and what the service's own tools said; raises ToolError when the search failed."""
    if answer.get("status") != 0:
        raise ToolError(
            str(answer.get("message") or "the search failed"), tool=tool, error_code=str(answer.get("status"))
        )
    data: Mapping[str, Any] = answer.get("data") or {}
    pages = [{name: doc.get(name) or "" for name in _PAGE} for doc in data.get("docs") or () if doc.get("url")]
    extras: Mapping[str, Any] = data.get("extras") or {}
    return pages, list(extras.get("toolResult") or ())


def _web_search(studio: Studio) -> Tool:
    name = "modelstudio_web_search"

    async def perform(arguments: dict[str, Any]) -> dict[str, Any]:
        request_id = str(uuid4())
        body = _asked("turbo", arguments["query"], arguments["count"], request_id)
        pages, tools = _found(name, await studio.call("POST", _WEB_SEARCH, body=body))
        return {"status": 0, "pages": pages, "tools": tools, "request_id": request_id}

    parameters = [
        ToolParameter("query", "string", "What to search for.", required=True),
        ToolParameter("count", "integer", "How many pages are wanted.", default=5),
    ]
    return made(name, "Search the web: general knowledge, news, weather.", parameters, perform)


def _search_pro(studio: Studio) -> Tool:
    name = "modelstudio_search_pro"

    async def perform(arguments: dict[str, Any]) -> dict[str, Any]:
        user_id = studio.options.user_id
        if not user_id:
            raise ConfigError(f"{name} needs the id of a Model Studio user", hint="Give user_id=...")
        options: Mapping[str, Any] = arguments.get("search_options") or {}
        body = _searched(arguments, options, user_id)
        pages, tools = _found(name, await studio.call("POST", _SEARCH_PRO, body=body))
        pages = pages[: options.get("top_n") or None]
        text = "\n\n".join(f"[{number}] {page['title']}\n{page['snippet']}" for number, page in enumerate(pages, 1))
        return {"search_result": text, "search_info": {"pages": pages, "extra_tool_info": tools}}

    parameters = [
        ToolParameter(
            "messages",
            "array",
            "The conversation; its last message is searched for.",
            required=True,
            items={"type": "object"},
        ),
        ToolParameter("search_options", "object", "search_strategy, top_n, enable_readpage, enable_search_extension."),
        ToolParameter("type", "string", "What to search for, when it is not pages.", enum=["image"]),
    ]
    return made(name, "Search the web with a conversation as context.", parameters, perform)


def _searched(arguments: Mapping[str, Any], options: Mapping[str, Any], user_id: str) -> dict[str, Any]:
    messages: Sequence[Mapping[str, Any]] = arguments["messages"]
    query = messages[-1].get("content") if messages else None
    if not isinstance(query, str) or not query.strip():
        raise InvalidInputError("the last message has no text to search for", field="messages")
    strategy = str(options.get("search_strategy") or "turbo")
    if strategy not in STRATEGIES:
        raise InvalidInputError(
            f"there is no strategy {strategy!r}", field="search_options", hint=f"There are {', '.join(STRATEGIES)}"
        )
    custom = {
        "qpToolPlan": bool(options.get("enable_search_extension")),
        "readpage": bool(options.get("enable_readpage")),
        "qpMultiQueryHistory": list(messages[:-1]),
        "inspection": True,
    }
    body = {**_asked(strategy, query.strip(), _ROWS, str(uuid4())), "uid": user_id, "customConfigInfo": custom}
    return {**body, "type": arguments["type"]} if "type" in arguments else body


def toolset(**options: Any) -> CommonToolSet:
    """Search of the web by Model Studio; the options are those of StudioOptions, `user_id` for search_pro."""
    studio = Studio(StudioOptions(**options))
    return CommonToolSet([_search_pro(studio), _web_search(studio)])
