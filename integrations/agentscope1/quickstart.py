"""A program for AgentScope Runtime 1.0 of which only the imports changed, and the model, which has a script here.

agentrun emulator exec --script integrations/scenario/model.py -- python -m integrations.agentscope1.quickstart
"""

from __future__ import annotations

import os

from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.model import OpenAIChatModel
from agentscope.pipeline import stream_printing_messages
from agentscope.tool import Toolkit, execute_python_code

from agentrun.server import AgentApp, AgentRequest
from agentrun.server.services import (
    AgentScopeSessionHistoryMemory,
    InMemorySessionHistoryService,
    InMemoryStateService,
)

agent_app = AgentApp(app_name="Friday", app_description="A helpful assistant.")


@agent_app.init
async def init_func(self):
    self.state_service = InMemoryStateService()
    self.session_service = InMemorySessionHistoryService()
    await self.state_service.start()
    await self.session_service.start()


@agent_app.shutdown
async def shutdown_func(self):
    await self.state_service.stop()
    await self.session_service.stop()


@agent_app.query(framework="agentscope")
async def query_func(self, msgs, request: AgentRequest = None, **kwargs):
    session_id = request.session_id
    user_id = request.user_id
    state = await self.state_service.export_state(session_id=session_id, user_id=user_id)

    toolkit = Toolkit()
    toolkit.register_tool_function(execute_python_code)

    agent = ReActAgent(
        name="Friday",
        sys_prompt="You're a helpful assistant named Friday.",
        model=OpenAIChatModel(
            os.environ.get("OPENAI_MODEL", "scripted"),
            api_key=os.environ["OPENAI_API_KEY"],
            client_kwargs={"base_url": os.environ["OPENAI_BASE_URL"]},
            stream=True,
        ),
        formatter=OpenAIChatFormatter(),
        toolkit=toolkit,
        memory=AgentScopeSessionHistoryMemory(
            service=self.session_service,
            session_id=session_id,
            user_id=user_id,
        ),
    )
    agent.set_console_output_enabled(enabled=False)
    if state:
        agent.load_state_dict(state)

    async for msg, last in stream_printing_messages(agents=[agent], coroutine_task=agent(msgs)):
        yield msg, last

    await self.state_service.save_state(user_id=user_id, session_id=session_id, state=agent.state_dict())


if __name__ == "__main__":
    agent_app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8090")))
