"""The traces that are kept, as JSON; not for everybody, because they may hold what users wrote."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from agentrun._serving.openai_error import ApiError, bad_request
from agentrun.server.local_access import is_local
from agentrun.server.streaming import error_answer
from agentrun.server.tracing.place import PATH
from agentrun.server.tracing.store import TraceStore, UnknownTraceError

_MOST = 1000


class TraceRoutes:
    """Answers `/_agentrun/traces` and `/_agentrun/traces/{id}`.

    Unless the server `asks_for_keys`, only requests from its own machine are answered.
    """

    def __init__(self, store: TraceStore, *, asks_for_keys: bool = False) -> None:
        self._store = store
        self._asks_for_keys = asks_for_keys

    def routes(self) -> Sequence[BaseRoute]:
        """The two routes."""
        return [
            Route(PATH, self._list, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self._show, methods=["GET"]),
        ]

    # Not coroutines: files are read in a thread.

    def _list(self, request: Request) -> Response:
        if not self._may_see(request):
            return _refused()
        try:
            count, after = (int(request.query_params.get(name, usual)) for name, usual in (("limit", 50), ("after", 0)))
        except ValueError:
            return error_answer(bad_request("limit and after must be whole numbers", "invalid_value"))
        session_id = request.query_params.get("session_id")
        runs = self._store.runs(max(0, min(count, _MOST)), after=after, session_id=session_id)
        return JSONResponse({"runs": [run.run_to_json() for run in runs]})

    def _show(self, request: Request) -> Response:
        if not self._may_see(request):
            return _refused()
        try:
            spans = self._store.find(request.path_params["id"])
        except UnknownTraceError as error:
            return error_answer(ApiError(404, str(error), "trace_not_found"))
        run = next((span.run_to_json() for span in spans if span.is_run), None)
        return JSONResponse({"run": run, "spans": [span.to_json() for span in spans]})

    def _may_see(self, request: Request) -> bool:
        return self._asks_for_keys or is_local(request)


def _refused() -> Response:
    message = "Traces are shown on the server's own machine alone, unless the server has api_keys"
    return error_answer(ApiError(403, message, "not_local"))
