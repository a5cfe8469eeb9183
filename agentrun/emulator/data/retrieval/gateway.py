"""Where a search belongs: each provider has paths of its own."""

from __future__ import annotations

from collections.abc import Callable

from agentrun.emulator.auth import Authenticator
from agentrun.emulator.control.knowledgebases import RAGFLOW_PREFIX, KnowledgeBases
from agentrun.emulator.data.retrieval.adb import ADBRetrieval
from agentrun.emulator.data.retrieval.bailian import BailianRetrieval
from agentrun.emulator.data.retrieval.ragflow import RagFlowRetrieval
from agentrun.emulator.http import Request, Response
from agentrun.emulator.outbound import OutboundCredentials


class RetrievalGateway:
    """Answers searches in the words of all providers."""

    def __init__(self, bases: KnowledgeBases, credentials: OutboundCredentials, auth: Authenticator) -> None:
        self._ragflow = RagFlowRetrieval(bases, credentials)
        self._bailian = BailianRetrieval(bases, auth)
        self._adb = ADBRetrieval(bases, auth)

    def operation(self, request: Request) -> str | None:
        """What the journal calls a search, by its provider; None for any other request."""
        if request.path.startswith(RAGFLOW_PREFIX):
            return "ragflow"
        if self._bailian.serves(request.path):
            return "bailian"
        return "adb" if self._adb.serves(request) else None

    async def handle(self, request: Request, operation: str, request_id: str, note: Callable[[str], None]) -> int:
        """Answer a search; returns the status. Raises ServiceError."""
        if operation == "ragflow":
            answer = await self._ragflow.answer(request, note)
        else:
            api = self._bailian if operation == "bailian" else self._adb
            answer = {"RequestId": request_id, **await api.answer(request, note)}
        await Response.json(answer).send(request.send, request_id)
        return 200
