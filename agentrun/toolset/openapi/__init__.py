"""OpenAPI documents as tools: any document of version 3.0 or 3.1, each of its operations a tool."""

try:
    from agentrun.toolset.openapi.apiset import ApiSet
    from agentrun.toolset.openapi.document import Document
    from agentrun.toolset.openapi.openapi import OpenAPI
    from agentrun.toolset.openapi.result import OpenAPIResult
except ModuleNotFoundError as error:
    if str(error.name).startswith("agentrun"):
        raise
    raise ImportError(f"OpenAPI tools need {error.name}: pip install 'agentrun[tools]'") from error

__all__ = ["ApiSet", "Document", "OpenAPI", "OpenAPIResult"]
