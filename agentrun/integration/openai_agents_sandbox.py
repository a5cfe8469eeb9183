"""Sandboxes for the sandbox agents of the OpenAI Agents SDK: its shell, its patches and its files work in one of ours.

`Runner.run(agent, question, run_config=RunConfig(sandbox=SandboxRunConfig(client=AgentRunSandboxClient(),
options=AgentRunSandboxClientOptions("my-template"))))`
"""

from __future__ import annotations

import uuid
from pathlib import Path

from agentrun.config import Config
from agentrun.integration._extra import framework
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
from agentrun.sandbox.model import TemplateType
from agentrun.sandbox.sandbox import Sandbox
from agentrun.sandbox.toolset.toolset import started

with framework("openai_agents", "agents"):
    from agents.sandbox import (
        Manifest,
        SnapshotSpec,
        resolve_snapshot,
    )
    from agents.sandbox.errors import WorkspaceStartError
    from agents.sandbox.session import (
        BaseSandboxClient,
        Dependencies,
        Instrumentation,
        SandboxSession,
        SandboxSessionState,
    )
    from agents.sandbox.snapshot import SnapshotBase

from agentrun.integration.openai_agents_session import (
    ENDED,
    ROOT,
    AgentRunSandboxClientOptions,
    AgentRunSandboxSession,
    AgentRunSandboxSessionState,
)

__all__ = [
    "AgentRunSandboxClient",
    "AgentRunSandboxClientOptions",
    "AgentRunSandboxSession",
    "AgentRunSandboxSessionState",
]


class AgentRunSandboxClient(BaseSandboxClient[AgentRunSandboxClientOptions]):
    """Makes a sandbox for each session of a sandbox agent, and deletes it at the session's end."""

    backend_id = "agentrun"

    def __init__(
        self,
        config: Config | None = None,
        *,
        instrumentation: Instrumentation | None = None,
        dependencies: Dependencies | None = None,
    ) -> None:
        self._config = config
        self._instrumentation = instrumentation or Instrumentation()
        self._dependencies = dependencies

    async def create(
        self,
        *,
        snapshot: SnapshotSpec | SnapshotBase | None = None,
        manifest: Manifest | None = None,
        options: AgentRunSandboxClientOptions,
    ) -> SandboxSession:
        """Begin a session in a new sandbox; raises ResourceNotExistError when there is no such template."""
        manifest = _in_the_home(self._validate_manifest_for_create(manifest or Manifest()))
        session_id = uuid.uuid4()
        sandbox = await self._made(options)
        state = AgentRunSandboxSessionState(
            session_id=session_id,
            manifest=manifest,
            snapshot=resolve_snapshot(snapshot, str(session_id)),
            sandbox_id=sandbox.label,
            options=options,
        )
        return self._session(state, sandbox)

    async def resume(self, state: SandboxSessionState) -> SandboxSession:
        """Go on with a session in its sandbox, or from its snapshot in a new one.

        Raises WorkspaceStartError when the sandbox has ended and no snapshot was kept: what was in it is gone.
        """
        if not isinstance(state, AgentRunSandboxSessionState):
            raise TypeError(f"this client resumes sessions of its own, not {type(state).__name__}")
        state.assert_path_grants_rebound()
        try:
            sandbox, found = await self._found(state), True
        except ENDED as error:
            if not await state.snapshot.restorable(dependencies=self._resolve_dependencies()):
                told = f"sandbox {state.sandbox_id} has ended, and no snapshot was kept; begin a new session"
                raise WorkspaceStartError(
                    path=Path(state.manifest.root), cause=error, message=told, retryable=False
                ) from error
            sandbox, found = await self._made(state.options), False
            state.sandbox_id, state.workspace_root_ready = sandbox.label, False
        session = self._session(state, sandbox)
        session._inner._set_start_state_preserved(found)
        return session

    async def delete(self, session: SandboxSession) -> SandboxSession:
        """Nothing more than the session's own end has done."""
        return session

    def deserialize_session_state(self, payload: dict[str, object]) -> SandboxSessionState:
        """A state from the JSON that it was saved as."""
        return self._deserialize_session_state_payload(payload, AgentRunSandboxSessionState)

    def _session(self, state: AgentRunSandboxSessionState, sandbox: CodeInterpreterSandbox) -> SandboxSession:
        return self._wrap_session(AgentRunSandboxSession(state, sandbox), instrumentation=self._instrumentation)

    async def _made(self, options: AgentRunSandboxClientOptions) -> CodeInterpreterSandbox:
        sandbox = await Sandbox.create_async(
            TemplateType.CODE_INTERPRETER,
            options.template_name,
            options.sandbox_idle_timeout_seconds,
            config=self._config,
        )
        return await started(sandbox)

    async def _found(self, state: AgentRunSandboxSessionState) -> CodeInterpreterSandbox:
        sandbox = await CodeInterpreterSandbox.get_by_id_async(state.sandbox_id, self._config)
        if state.options.pause_on_exit:
            await sandbox.resume_async()
        return await sandbox.wait_until_healthy_async()


def _in_the_home(manifest: Manifest) -> Manifest:
    if manifest.root != Manifest.model_fields["root"].default:
        return manifest
    return manifest.model_copy(update={"root": ROOT})
