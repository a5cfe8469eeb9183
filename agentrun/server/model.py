"""What an agent is asked, and how its server is set up; the words are those of chats."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ProtocolConfig(BaseModel):
    """Whether a protocol is served, and below which path."""

    model_config = ConfigDict(protected_namespaces=())

    prefix: str | None = None
    enable: bool = True


class OpenAIProtocolConfig(ProtocolConfig):
    """The protocol of OpenAI's chat completions; without a `model_name` the model is called "agentrun"."""

    prefix: str | None = "/openai/v1"
    model_name: str | None = None


class AgentAPIProtocolConfig(ProtocolConfig):
    """The Agent API, which `AgentApp` serves at its `endpoint_path`."""

    prefix: str | None = "/process"


class ResponsesProtocolConfig(ProtocolConfig):
    """The protocol of OpenAI's responses; without a `prefix` below each path that its clients use.

    Responses are kept in `session_history`, a SessionHistoryService. Without one they stay in memory: the last
    `max_kept` of them, `max_kept_bytes` at most, each for `keep_seconds` after its last use. The same limits hold for
    the streams of responses in the background, of which `max_background` may run at once. An agent that remembers its
    sessions itself is given only what is new with `include_history=False`.
    """

    session_history: Any = Field(default=None, exclude=True, repr=False)
    include_history: bool = True
    max_kept: int = Field(default=1000, gt=0)
    max_kept_bytes: int = Field(default=64 * 2**20, gt=0)
    keep_seconds: float = Field(default=24 * 3600, gt=0)
    max_background: int = Field(default=100, gt=0)


class A2ASkill(BaseModel):
    """Something that an agent can do, as its card tells it."""

    id: str
    name: str
    description: str
    tags: list[str] = Field(default_factory=list[str])
    examples: list[str] | None = None


class A2AProtocolConfig(ProtocolConfig):
    """The Agent2Agent protocol; what it is called and can do is told in its card.

    The card names `public_url`, else the URL under which it is asked for; with `trust_forwarded` that is what a proxy
    says in X-Forwarded-Proto, -Host and -Prefix, who then has to take away those of clients. A task whose client has
    gone goes on for `keep_running_seconds`, and the last `most_tasks` can be asked for.
    """

    prefix: str | None = "/a2a"
    name: str | None = None
    description: str | None = None
    version: str = "1.0.0"
    public_url: str | None = None
    trust_forwarded: bool = False
    skills: list[A2ASkill] | None = None
    keep_running_seconds: float = Field(default=300.0, ge=0)
    most_tasks: int = Field(default=1000, gt=0)


class MCPProtocolConfig(ProtocolConfig):
    """The agent as a tool of an MCP server."""

    prefix: str | None = "/mcp"
    tool_name: str | None = None
    description: str | None = None


class AGUIProtocolConfig(ProtocolConfig):
    """The AG-UI protocol."""

    prefix: str | None = "/ag-ui/agent"


class ServerConfig(BaseModel):
    """How an agent is served: every protocol is on unless its own configuration says otherwise.

    With `api_keys` every request has to show one of them, and `POST /shutdown` the `shutdown_token`, without which
    nobody ends the server. Web pages of other origins are refused, except those in `cors_origins`; a longer request
    than `max_body_bytes` too. With `web_ui` there is a page to talk to the agent, at `/chat`.

    `traces` says whether traces of runs are kept on this machine, or in which file; without it AGENTRUN_TRACES does.
    With `trace_content` spans also hold what was asked and answered; without it the variable
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says so.
    """

    agent_api: AgentAPIProtocolConfig | None = None
    openai: OpenAIProtocolConfig | None = None
    responses: ResponsesProtocolConfig | None = None
    a2a: A2AProtocolConfig | None = None
    agui: AGUIProtocolConfig | None = None
    mcp: MCPProtocolConfig | None = None
    api_keys: list[SecretStr] = Field(default_factory=list[SecretStr])
    shutdown_token: SecretStr | None = None
    cors_origins: list[str] | None = None
    max_body_bytes: int = Field(default=64 * 2**20, gt=0)
    traces: bool | str | None = None
    trace_content: bool | None = None
    web_ui: bool = False


class MessageRole(str, Enum):
    """Who said something."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolCall(BaseModel):
    """A call that an assistant made; `function` has its `name`, and its `arguments` as JSON text."""

    id: str
    type: str = "function"
    function: dict[str, Any]


class Message(BaseModel):
    """Something said in a conversation; content of several parts is a list of objects with a `type`."""

    id: str | None = None
    role: MessageRole
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """What is said in words, without images and other parts."""
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text") or "") for part in self.content or ())


class Tool(BaseModel):
    """A tool that the caller has; `function` has its `name`, `description` and `parameters`, a JSON Schema."""

    type: str = "function"
    function: dict[str, Any]


class AgentRequest(BaseModel):
    """What an agent is asked, whatever the protocol.

    What else a protocol carries, `temperature` or `forwarded_props` say, is an attribute too where it was sent:
    `getattr(request, "temperature", None)`.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    protocol: str = "unknown"
    messages: list[Message] = Field(default_factory=list[Message])
    stream: bool = False
    tools: list[Tool] | None = None
    session_id: str | None = None
    user_id: str | None = None
    # Starlette's request, of which this module need not know; its headers may hold secrets.
    raw_request: Any = Field(default=None, exclude=True, repr=False)

    def with_more(self, sent: Mapping[str, Any]) -> AgentRequest:
        """The same with what else was sent; a name of this class keeps its meaning."""
        more = {name: value for name, value in sent.items() if not hasattr(type(self), name)}
        return self.model_copy(update={name: value for name, value in more.items() if name not in _FIELDS})


_FIELDS = frozenset(AgentRequest.model_fields)
