"""What travels in the Agent API: requests, responses and the messages and contents in them.

Everything that is sent has a place in a stream, its `sequence_number`, and says how far it is, its `status`. Fields
that this version does not know are kept.
"""

from __future__ import annotations

import time
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class RunStatus(str, Enum):
    """How far something is."""

    CREATED = "created"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"
    REJECTED = "rejected"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class Role(str, Enum):
    """Who says something."""

    ASSISTANT = "assistant"
    SYSTEM = "system"
    USER = "user"
    TOOL = "tool"


class MessageType(str, Enum):
    """What a message is; calls and their outputs hold one body of data each."""

    MESSAGE = "message"
    REASONING = "reasoning"
    FUNCTION_CALL = "function_call"
    FUNCTION_CALL_OUTPUT = "function_call_output"
    PLUGIN_CALL = "plugin_call"
    PLUGIN_CALL_OUTPUT = "plugin_call_output"
    COMPONENT_CALL = "component_call"
    COMPONENT_CALL_OUTPUT = "component_call_output"
    MCP_LIST_TOOLS = "mcp_list_tools"
    MCP_APPROVAL_REQUEST = "mcp_approval_request"
    MCP_TOOL_CALL = "mcp_call"
    MCP_APPROVAL_RESPONSE = "mcp_approval_response"
    MCP_TOOL_CALL_OUTPUT = "mcp_call_output"
    HEARTBEAT = "heartbeat"
    ERROR = "error"
    A2UI_RESPONSE = "a2ui_response"
    A2UI_ACTION = "a2ui_action"


class ContentType(str, Enum):
    """What a part of a message is."""

    TEXT = "text"
    DATA = "data"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    FILE = "file"
    REFUSAL = "refusal"


class Error(BaseModel):
    """What went wrong, with a code for programs and words for people."""

    code: str
    message: str


class Event(BaseModel):
    """What every object of a stream has."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    sequence_number: int | None = None
    object: str
    status: str | None = None
    error: Error | None = None


class Content(Event):
    """A part of a message: the whole of it, or with `delta` what is new of its text."""

    object: str = "content"
    type: Any  # Each kind has one of its own; fields are written in this order.
    index: int | None = None
    delta: bool | None = False
    msg_id: str | None = None


class TextContent(Content):
    """Text."""

    type: Literal["text"] = "text"
    text: str | None = None


class DataContent(Content):
    """An object: the body of a call, of its output, or of what else an agent has to say."""

    type: Literal["data"] = "data"
    data: dict[str, Any] | None = None


class ImageContent(Content):
    """An image, by its URL or as a `data:` URL."""

    type: Literal["image"] = "image"
    image_url: str | None = None


class AudioContent(Content):
    """Sound, by its URL or as base64, and its `format`, as in "wav"."""

    type: Literal["audio"] = "audio"
    data: str | None = None
    format: str | None = None


class VideoContent(Content):
    """A video, by its URL or as a `data:` URL."""

    type: Literal["video"] = "video"
    video_url: str | None = None


class FileContent(Content):
    """A file: its URL, the id of one that was uploaded, or its bytes as base64."""

    type: Literal["file"] = "file"
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None


class RefusalContent(Content):
    """Why an assistant does not answer."""

    type: Literal["refusal"] = "refusal"
    refusal: str | None = None


AnyContent = Annotated[
    TextContent | ImageContent | DataContent | AudioContent | VideoContent | FileContent | RefusalContent,
    Field(discriminator="type"),
]


class FunctionCall(BaseModel):
    """The body of a call; its arguments are JSON text."""

    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class FunctionCallOutput(BaseModel):
    """The body of what a call gave; its output is JSON text."""

    call_id: str
    name: str | None = None
    output: str


class McpCall(BaseModel):
    """The body of a call of an MCP server's tool; its arguments are JSON text."""

    call_id: str | None = None
    arguments: str | None = None
    name: str | None = None
    server_label: str | None = None


class McpCallOutput(BaseModel):
    """The body of what an MCP server's tool gave; its output is JSON text."""

    call_id: str
    name: str | None = None
    output: str


class McpListToolsTool(BaseModel):
    """A tool that an MCP server has."""

    model_config = ConfigDict(extra="allow")

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    annotations: dict[str, Any] | None = None


class McpListTools(BaseModel):
    """The body of a message that lists an MCP server's tools."""

    id: str
    server_label: str
    tools: list[McpListToolsTool]
    error: str | None = None


class McpApprovalRequest(BaseModel):
    """The body of a question to a person whether a tool may be called."""

    id: str
    arguments: str
    name: str
    server_label: str


class McpApprovalResponse(BaseModel):
    """The body of a person's answer to it."""

    approval_request_id: str
    approve: bool
    id: str | None = None
    reason: str | None = None


class FunctionParameters(BaseModel):
    """What a tool takes, as a JSON Schema."""

    model_config = ConfigDict(extra="allow")

    type: str
    properties: dict[str, Any]
    required: list[str] | None


class FunctionTool(BaseModel):
    """A function that a model may call."""

    model_config = ConfigDict(extra="allow")

    name: str
    description: str
    parameters: FunctionParameters | dict[str, Any]


class Tool(BaseModel):
    """A tool of the caller."""

    type: str | None = "function"
    function: FunctionTool | None = None


def message_id() -> str:
    """A new id of a message."""
    return f"msg_{uuid.uuid4()}"


def response_id() -> str:
    """A new id of a response."""
    return f"response_{uuid.uuid4()}"


def _now() -> int:
    return int(time.time())


RoleName = Literal["assistant", "system", "user", "tool"]


class Message(Event):
    """Something that was said or done: its parts in order."""

    object: str = "message"
    status: str | None = RunStatus.CREATED.value
    id: str = Field(default_factory=message_id)
    type: str = MessageType.MESSAGE.value
    role: RoleName | None = None
    content: list[AnyContent] | None = None
    code: str | None = None
    message: str | None = None
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class AgentRequest(BaseModel):
    """What an agent is asked; `input` is the conversation so far, and `stream` whether to answer in pieces."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    input: list[Message]
    stream: bool = True
    id: str | None = None
    model: str | None = None
    top_p: float | None = None
    temperature: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Field(ge=1, le=5)] | None = 1
    seed: int | None = None
    tools: list[Tool | dict[str, Any]] | None = None
    session_id: str | None = None
    user_id: str | None = None


class AgentResponse(Event):
    """What an agent answers: its finished messages; times are seconds since 1970."""

    object: str = "response"
    status: str | None = RunStatus.CREATED.value
    id: str | None = Field(default_factory=response_id)
    created_at: int = Field(default_factory=_now)
    completed_at: int | None = None
    output: list[Message] | None = None
    usage: dict[str, Any] | None = None
    session_id: str | None = None
