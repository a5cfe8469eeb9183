"""What knowledge bases of the local platform can do beyond those of the cloud."""

from __future__ import annotations

from agentrun._core.extensions import Extension

DOCUMENTS = Extension("knowledge_base.add_documents", "Upload the documents where the knowledge base's provider is")
