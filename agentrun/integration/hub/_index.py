"""What the hub has; each set of tools is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentrun._core.names import nearest
from agentrun.errors import InvalidInputError
from agentrun.integration._ranking import KeywordIndex

if TYPE_CHECKING:
    from agentrun.integration._toolset import CommonToolSet

_HERE = "agentrun.integration.hub"


@dataclass(frozen=True)
class Entry:
    """A set of tools of the hub: its name, what it does, what it needs, and the names of its tools."""

    name: str
    summary: str
    tools: tuple[str, ...]
    module: str
    needs: str = ""

    def open(self, **options: Any) -> CommonToolSet:
        """The tools; the options are those of the module's `toolset`."""
        make: Callable[..., CommonToolSet] = import_module(self.module).toolset
        try:
            return make(**options)
        except TypeError as error:
            raise InvalidInputError(f"{self.name} cannot be made with these options: {error}") from error


def _studio(family: str, summary: str, *tools: str) -> Entry:
    return Entry(
        f"model_studio.{family}",
        summary,
        tuple(f"modelstudio_{tool}" for tool in tools),
        f"{_HERE}.model_studio.{family}",
        "DASHSCOPE_API_KEY, api_key or credential_name",
    )


def _video_tools(kind: str, *versions: str) -> tuple[str, ...]:
    tails = ("", "_submit_task", "_fetch_result")
    return tuple(f"{kind}{version}{tail}" for version in ("", *versions) for tail in tails)


ENTRIES = (
    Entry("time", "Tell the date and time, convert time zones", ("now", "convert_time"), f"{_HERE}.time"),
    Entry("fetch", "Read web pages and texts by their URL, as Markdown", ("fetch",), f"{_HERE}.fetch"),
    Entry(
        "filesystem",
        "List, read, search, write and edit the files of one local folder",
        ("list_files", "read_file", "search_files", "write_file", "edit_file", "delete_file"),
        f"{_HERE}.filesystem",
        "root=...; the last three with writable=True",
    ),
    Entry(
        "sandbox",
        "Run code and shell commands, and work on files, in an isolated sandbox",
        (
            *("health", "run_code", "execute_code", "list_contexts", "create_context", "get_context"),
            *("delete_context", "read_file", "write_file", "file_system_list", "list_directory", "file_system_stat"),
            *("file_system_mkdir", "file_system_move", "file_system_remove", "process_exec_cmd", "process_list"),
            *("process_stat", "process_kill"),
        ),
        f"{_HERE}.sandbox",
        "template_name=...",
    ),
    Entry("web_search", "Search the web with a provider", ("web_search",), f"{_HERE}.web_search", "provider=..."),
    Entry(
        "retrieval",
        "Find passages of documents and knowledge bases that fit a question",
        ("retrieve",),
        f"{_HERE}.retrieval",
        "retriever=...",
    ),
    _studio("search", "Search the web with Alibaba Cloud Model Studio", "search_pro", "web_search"),
    _studio("rag", "Retrieve from knowledge bases (RAG) of Alibaba Cloud Model Studio", "RAG", "RAG_lite"),
    _studio(
        "images",
        "Generate, edit, draw and restyle images and pictures with Wan and Qwen",
        *("image_gen", "image_gen_wan25", "image_edit", "image_edit_wan25", "image_style_repaint"),
        *("qwen_image_gen", "qwen_image_edit"),
    ),
    _studio(
        "videos",
        "Generate videos and films from text, an image, or an image and speech with Wan",
        *_video_tools("text_to_video", "_wan25"),
        *_video_tools("image_to_video", "_wan25"),
        *_video_tools("speech_to_video"),
    ),
    _studio("speech", "Speak a text aloud, transcribe audio and speech to text", "qwen_tts", "speech_to_text"),
    Entry(
        "alipay.payment",
        "Take payments by Alipay: pay links for phone and web, query, refund",
        (
            *("alipay_mobile_payment", "alipay_webpage_payment", "alipay_query_payment"),
            *("alipay_refund_payment", "alipay_query_refund"),
        ),
        f"{_HERE}.alipay.payment",
        "ALIPAY_APP_ID, ALIPAY_PRIVATE_KEY, ALIPAY_PUBLIC_KEY",
    ),
    Entry(
        "alipay.subscription",
        "Sell subscriptions by Alipay: status, order, use of paid times",
        (
            *("query-alipay-subscription-status", "initialize-alipay-subscription-order"),
            *("times-alipay-subscription-consume", "alipay_subscribe_check_or_initialize"),
        ),
        f"{_HERE}.alipay.subscription",
        "ALIPAY_APP_ID, ALIPAY_PRIVATE_KEY, ALIPAY_PUBLIC_KEY, SUBSCRIBE_PLAN_ID",
    ),
)


def entries() -> tuple[Entry, ...]:
    """All sets of tools of the hub."""
    return ENTRIES


def names() -> list[str]:
    """The names of all sets of tools of the hub."""
    return [entry.name for entry in ENTRIES]


def get(name: str, **options: Any) -> CommonToolSet:
    """A set of tools by its name, made with these options; raises InvalidInputError, which names the nearest one."""
    found = next((entry for entry in ENTRIES if entry.name == name), None)
    if found is None:
        near = nearest(name, names())
        hint = f"Did you mean {near}?" if near else f"There are {', '.join(names())}"
        raise InvalidInputError(f"the hub has no {name!r}", field="name", hint=hint)
    return found.open(**options)


def search(query: str, top_k: int = 5) -> list[Entry]:
    """The sets of tools that fit a query best, best first; nothing is loaded for it."""
    return [ENTRIES[position] for position, _ in _searchable().search(query, top_k)]


@cache
def _searchable() -> KeywordIndex:
    return KeywordIndex({e.name: 2.0, e.summary: 1.0, " ".join(e.tools): 1.0} for e in ENTRIES)
