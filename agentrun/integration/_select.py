"""The few tools of a large set that fit what a model is about to do."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeAlias, cast

from pydantic import Field

from agentrun._core.blocking import run
from agentrun._core.names import nearest
from agentrun.errors import InvalidInputError, InvalidResponseError
from agentrun.integration._function import of_both_modes
from agentrun.integration._ranking import KeywordIndex, nearest_vectors, unit
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet

_NAME, _DESCRIPTION, _ARGUMENTS = 3.0, 1.0, 0.5
Limit: TypeAlias = Annotated[int, Field(ge=1, le=50)]
_BATCH = 25  # The smallest limit of texts for one call among the providers that we know.


class Embedding(Protocol):
    """What makes vectors of texts: a ModelService or a ModelProxy."""

    async def aembedding(self, input: Sequence[str], model: str | None = None) -> Any:
        """The vectors of several texts, as OpenAI's API gives them."""
        ...


def _listed(tools: CommonToolSet | Iterable[Tool]) -> list[Tool]:
    return tools.tools() if isinstance(tools, CommonToolSet) else list(tools)


def text_of(tool: Tool) -> str:
    """What is known of a tool, as one text."""
    return f"{tool.name}: {tool.description}\n{_arguments_of(tool)}".strip()


def _arguments_of(tool: Tool) -> str:
    properties = cast("Mapping[str, Mapping[str, Any]]", tool.parameters.get("properties") or {})
    return "\n".join(f"{name}: {spec.get('description', '')}" for name, spec in properties.items())


class ToolIndex:
    """Tools that are searched by words of their names, descriptions and arguments; nothing is asked of anybody."""

    def __init__(self, tools: CommonToolSet | Iterable[Tool]) -> None:
        self.tools = _listed(tools)
        self._index = KeywordIndex(
            {tool.name: _NAME, tool.description: _DESCRIPTION, _arguments_of(tool): _ARGUMENTS} for tool in self.tools
        )

    async def select_async(self, query: str, top_k: int = 10) -> list[Tool]:
        """The tools that fit best, best first; none of those that have no word of the query."""
        return [self.tools[position] for position, _ in self._index.search(query, _positive(top_k))]

    def select(self, query: str, top_k: int = 10) -> list[Tool]:
        """The tools that fit best, best first; none of those that have no word of the query."""
        return run(self.select_async(query, top_k))


class EmbeddingIndex:
    """Tools that are searched by meaning: `model`, a ModelService or a ModelProxy, makes vectors of texts.

    A text's vector is asked for once, when it is first needed, and kept in `vectors`, which several indexes may share
    and which may be stored: its keys are the texts.
    """

    def __init__(
        self,
        tools: CommonToolSet | Iterable[Tool],
        model: Embedding,
        *,
        model_name: str | None = None,
        vectors: dict[str, list[float]] | None = None,
    ) -> None:
        self.tools = _listed(tools)
        self.vectors = {} if vectors is None else vectors
        self._texts = [text_of(tool) for tool in self.tools]
        self._model = model
        self._model_name = model_name

    async def select_async(self, query: str, top_k: int = 10) -> list[Tool]:
        """The tools whose meaning is nearest, nearest first; raises what the model raises."""
        await self._learn([text for text in dict.fromkeys(self._texts) if text not in self.vectors])
        asked = unit((await self._embedded([query]))[0])
        found = nearest_vectors([self.vectors[text] for text in self._texts], asked, _positive(top_k))
        return [self.tools[position] for position, _ in found]

    def select(self, query: str, top_k: int = 10) -> list[Tool]:
        """The tools whose meaning is nearest, nearest first; raises what the model raises."""
        return run(self.select_async(query, top_k))

    async def _learn(self, texts: Sequence[str]) -> None:
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            found = await self._embedded(batch)
            self.vectors.update(zip(batch, map(unit, found), strict=True))

    async def _embedded(self, texts: Sequence[str]) -> list[list[float]]:
        answer = await self._model.aembedding(list(texts), self._model_name)
        found = [list(item.embedding) for item in sorted(answer.data, key=lambda item: item.index)]
        if len(found) != len(texts):
            raise InvalidResponseError(f"the model gave {len(found)} vectors for {len(texts)} texts")
        return found


class Index(Protocol):
    """Something that tools are selected from: a ToolIndex or an EmbeddingIndex."""

    tools: list[Tool]

    async def select_async(self, query: str, top_k: int = 10) -> list[Tool]:
        """The tools that fit best, best first."""
        ...


class _Recent:
    """What was made last, because an agent selects from the same tools, and by the same model, again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._index: ToolIndex | None = None
        self._model: Embedding | None = None
        self._vectors: dict[str, list[float]] = {}

    def index(self, tools: list[Tool]) -> ToolIndex:
        with self._lock:
            known = self._index
        if known is None or not _are_same(known.tools, tools):
            known = ToolIndex(tools)
        with self._lock:
            self._index = known
        return known

    def vectors(self, model: Embedding) -> dict[str, list[float]]:
        with self._lock:
            if self._model is not model:
                self._model, self._vectors = model, {}
            return self._vectors


def _are_same(known: list[Tool], tools: list[Tool]) -> bool:
    return len(known) == len(tools) and all(a is b for a, b in zip(known, tools, strict=True))


_recent = _Recent()


async def select_async(
    tools: CommonToolSet | Iterable[Tool], query: str, top_k: int = 10, *, by: Embedding | None = None
) -> list[Tool]:
    """The `top_k` tools that fit a query best, best first: by their words, or by meaning with a model that embeds.

    Whoever selects from the same tools again and again keeps a ToolIndex or an EmbeddingIndex.
    """
    if by is None:
        return await _recent.index(_listed(tools)).select_async(query, top_k)
    return await EmbeddingIndex(tools, by, vectors=_recent.vectors(by)).select_async(query, top_k)


def select(
    tools: CommonToolSet | Iterable[Tool], query: str, top_k: int = 10, *, by: Embedding | None = None
) -> list[Tool]:
    """The `top_k` tools that fit a query best, best first: by their words, or by meaning with a model that embeds.

    Whoever selects from the same tools again and again keeps a ToolIndex or an EmbeddingIndex.
    """
    return run(select_async(tools, query, top_k, by=by))


def searchable(tools: CommonToolSet | Index, *, top_k: int = 5) -> CommonToolSet:
    """Two tools instead of many: `find_tools` tells which there are for a purpose, and `call_tool` calls one of them.

    So a model is told of two tools however many there are. Closing the set closes `tools`, where that can be closed.
    """
    index: Index = ToolIndex(tools) if isinstance(tools, CommonToolSet) else tools
    known = {tool.name: tool for tool in index.tools}

    async def find_tools(query: str, limit: Limit = top_k) -> list[dict[str, Any]]:
        """Find tools by what they do. Call one of those found with call_tool.

        Args:
            query: What the tool should do, in a few words.
            limit: How many tools to find at most.
        """
        return [_described(found) for found in await index.select_async(query, limit)]

    async def call_tool(name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Call a tool that find_tools found.

        Args:
            name: The name of the tool.
            arguments: Its arguments, as its parameters describe them.
        """
        if name in known:
            return await known[name].perform(arguments or {})
        near = nearest(name, known)
        hint = f"Did you mean {near}?" if near else "Ask find_tools which there are"
        raise InvalidInputError(f"there is no tool {name!r}", field="name", hint=hint)

    closing = tools.closing if isinstance(tools, CommonToolSet) else []
    return CommonToolSet([of_both_modes(find_tools), of_both_modes(call_tool)], closing)


def _described(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def _positive(top_k: int) -> int:
    if top_k < 1:
        raise InvalidInputError(f"top_k must be 1 or more, not {top_k}", field="top_k")
    return top_k
