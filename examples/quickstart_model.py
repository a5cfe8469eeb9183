"""What the scripted model says in the quickstart; a real model would find this by itself."""

from __future__ import annotations

from agentrun.emulator import Conversation, Reply, Rule, Script, ToolCall, When

CODE = "import statistics; print(statistics.stdev([3, 5, 8, 13]))"


def conclude(conversation: Conversation) -> str:
    """The sentence about what the code printed."""
    return f"The standard deviation is {float(conversation.tool_results[-1].content):.2f}."


script = Script(
    [
        Rule("standard deviation", Reply(tool_calls=[ToolCall("run_python", {"code": CODE})])),
        Rule(When(tool="run_python"), conclude),
    ],
    strict=True,
)
