"""The Agent API: an agent's doings as a stream of responses, messages and contents, and its requests as a chat.

It needs no server: `read_request` takes what was sent, `chat_request` says it in the words of chats, `stream` and
`answer` take the events of a run and give what is to be sent.
"""

from __future__ import annotations

from agentrun.server.protocols.agent_api.model import (
    AgentRequest,
    AgentResponse,
    AnyContent,
    AudioContent,
    Content,
    ContentType,
    DataContent,
    Error,
    Event,
    FileContent,
    FunctionCall,
    FunctionCallOutput,
    FunctionParameters,
    FunctionTool,
    ImageContent,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpCallOutput,
    McpListTools,
    McpListToolsTool,
    Message,
    MessageType,
    RefusalContent,
    Role,
    RunStatus,
    TextContent,
    Tool,
    VideoContent,
)
from agentrun.server.protocols.agent_api.request import chat_request, read_request
from agentrun.server.protocols.agent_api.response_writer import ResponseWriter
from agentrun.server.protocols.agent_api.stream import Refusal, answer, refuse, response_json, stream

__all__ = [
    "AgentRequest",
    "AgentResponse",
    "AnyContent",
    "AudioContent",
    "Content",
    "ContentType",
    "DataContent",
    "Error",
    "Event",
    "FileContent",
    "FunctionCall",
    "FunctionCallOutput",
    "FunctionParameters",
    "FunctionTool",
    "ImageContent",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpCallOutput",
    "McpListTools",
    "McpListToolsTool",
    "Message",
    "MessageType",
    "Refusal",
    "RefusalContent",
    "ResponseWriter",
    "Role",
    "RunStatus",
    "TextContent",
    "Tool",
    "VideoContent",
    "answer",
    "chat_request",
    "read_request",
    "refuse",
    "response_json",
    "stream",
]
