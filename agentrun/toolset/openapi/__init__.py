"""OpenAPI documents as tools: any document of version 3.0 or 3.1, each of its operations a tool."""

from agentrun.toolset.openapi.apiset import ApiSet
from agentrun.toolset.openapi.document import Document
from agentrun.toolset.openapi.openapi import OpenAPI
from agentrun.toolset.openapi.result import OpenAPIResult

__all__ = ["ApiSet", "Document", "OpenAPI", "OpenAPIResult"]
