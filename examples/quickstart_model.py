"""What the scripted model says in the quickstart; a real model would find this by itself."""

from agentrun.emulator import Reply, Rule, Script, ToolCall, When

CODE = "import statistics; print(statistics.stdev([3, 5, 8, 13]))"

script = Script(
    [
        Rule(When(result=r"(\d+\.\d\d)"), lambda talk: f"The standard deviation is {talk.tool_results[-1].content[:4]}."),
        Rule("standard deviation", Reply(tool_calls=[ToolCall("run_python", {"code": CODE})])),
    ]
)
