"""What an agent is asked, in the messages of its own framework; each is loaded when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from agentrun.errors import InvalidInputError
from agentrun.integration._extra import needed
from agentrun.server.model import Message


class _Framework(NamedTuple):
    """Where the messages of a framework are made, and what has to be installed for it."""

    module: str
    extra: str
    packages: tuple[str, ...]


_LANGCHAIN = _Framework("langchain", "langchain", ("langchain_core",))
_PYDANTIC_AI = _Framework("pydantic_ai", "pydantic_ai", ("pydantic_ai",))
_OPENAI_AGENTS = _Framework("openai_agents", "openai_agents", ())
_PLAIN = _Framework("openai", "openai", ())

FRAMEWORKS: dict[str, _Framework] = {
    "agentscope": _Framework("agentscope", "agentscope", ("agentscope",)),
    "langgraph": _LANGCHAIN._replace(extra="langgraph"),
    "langchain": _LANGCHAIN,
    "pydantic_ai": _PYDANTIC_AI,
    "pydantic-ai": _PYDANTIC_AI,
    "openai_agents": _OPENAI_AGENTS,
    "openai-agents": _OPENAI_AGENTS,
    "agno": _Framework("agno", "agno", ("agno",)),
    "autogen": _Framework("autogen", "autogen", ("autogen_agentchat", "autogen_core", "PIL")),
    "text": _Framework("text", "server", ()),
    "openai": _PLAIN,
}


def framework_messages(framework: str | None, messages: Sequence[Message]) -> Any:
    """The messages of a chat as an agent of a framework takes them; dicts in the shape of OpenAI's chats without one.

    Raises InvalidInputError for a framework that is not known, ImportError for one that is not installed.
    """
    return messages_for(framework)(messages)


def messages_for(framework: str | None) -> Callable[[Sequence[Message]], Any]:
    """What turns the messages of a chat into those of a framework; raises as `framework_messages` does."""
    found = _PLAIN if framework is None else FRAMEWORKS.get(framework)
    if found is None:
        raise InvalidInputError(
            f"{framework!r} is no framework whose messages are known",
            field="framework",
            hint=f"Known are: {', '.join(FRAMEWORKS)}; None gives the messages as dicts",
        )
    with needed(f"framework={framework!r}", found.extra, found.packages):
        convert: Callable[[Sequence[Message]], Any] = import_module(f"{__name__}.{found.module}").messages
    return convert
