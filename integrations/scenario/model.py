"""What the scripted model does in every framework: it reads the question, and calls the tools that answer it."""

from __future__ import annotations

import re

from agentrun.emulator import Conversation, Reply, Rule, Script, ToolCall, When


def word_after(conversation: Conversation, word: str) -> str:
    """The word that follows another one in what the user said last."""
    found = re.search(rf"{word} (\w+)", conversation.last_user)
    return found[1] if found else ""


def last_result(conversation: Conversation) -> str:
    """What the last tool answered, as text."""
    return conversation.tool_results[-1].content


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", text)]


def field(text: str, name: str) -> str:
    """The value of a JSON field in a tool's answer, however a framework wrapped it."""
    found = re.search(rf'\\?["\']{name}\\?["\']: *\\?["\']?([^,"\'\\}}]*)', text)
    return found[1] if found else ""


def ask_weather(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("get_weather", {"city": word_after(conversation, "in")})])


def convert(conversation: Conversation) -> Reply | str:
    """From the weather to Fahrenheit, or the end when there is no such city."""
    celsius = field(last_result(conversation), "celsius")
    if not celsius:
        return f"I could not find out: {last_result(conversation)}"
    return Reply(tool_calls=[ToolCall("to_fahrenheit", {"celsius": float(celsius)})])


def square(conversation: Conversation) -> Reply:
    fahrenheit = numbers(last_result(conversation))[-1]
    return Reply(tool_calls=[ToolCall("run_code", {"code": f"print({fahrenheit:g} ** 2)"})])


def conclude(conversation: Conversation) -> str:
    squared = field(last_result(conversation), "stdout").replace("\\n", "")
    return f"Squared, that is {float(squared):g}."


def note(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("write_file", {"path": "note.txt", "content": word_after(conversation, "Note")})])


def read_back(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("read_file", {"path": "note.txt"})])


def tell_note(conversation: Conversation) -> str:
    return f"The note says {field(last_result(conversation), 'content')}."


def write_code(conversation: Conversation) -> str:
    """Code in the text of an answer, for frameworks that run it themselves."""
    return f"```python\n{conversation.last_user.partition('Run ')[2]}\n```"


def tell_code(conversation: Conversation) -> str:
    return f"The code says: {conversation.last_user.strip()}"


def run_in_shell(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("exec_command", {"cmd": conversation.last_user.partition("Type ")[2]})])


def tell_output(conversation: Conversation) -> str:
    return f"The shell says: {last_result(conversation)}"


script = Script(
    [
        Rule("warm", ask_weather),
        Rule(When(tool="get_weather"), convert),
        Rule(When(tool="to_fahrenheit"), square),
        Rule(When(tool="run_code"), conclude),
        Rule("Note", note),
        Rule(When(tool="write_file"), read_back),
        Rule(When(tool="read_file"), tell_note),
        Rule(When(tool="exec_command"), tell_output),
        Rule("Type", run_in_shell),
        Rule("Run ", write_code),
        Rule("tool_output", tell_code),
        Rule("Hello", "Hello, this is a model with a script."),
    ],
    strict=True,
)
