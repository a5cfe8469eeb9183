"""What the scripted model does in every framework: it reads the question, and calls the tools that answer it."""

from __future__ import annotations

import re

from agentrun.emulator import Conversation, Reply, Rule, Script, ToolCall, When
from agentrun.emulator.scripted.condition import Condition


def word_after(conversation: Conversation, word: str) -> str:
    """The word that follows another one in what the user said last."""
    found = re.search(rf"{word} (\w+)", conversation.last_user)
    return found[1] if found else ""


def last_result(conversation: Conversation) -> str:
    """What the last tool answered, as text; some frameworks tell it as a message of the user."""
    if conversation.tool_results:
        return conversation.tool_results[-1].content
    return conversation.last_user.partition("Observation:")[2]


def answered(tool: str) -> Condition:
    """Holds when a tool has just answered, in whichever way a framework tells it."""

    def told(conversation: Conversation) -> bool:
        said = [message.content for message in conversation.messages if message.role == "assistant"]
        return "Observation:" in conversation.last_user and f"'name': '{tool}'" in (said or [""])[-1]

    return When(tool=tool) | When(check=told)


def failed(conversation: Conversation) -> bool:
    """Whether the last call failed, where a framework tells that as a message of the user."""
    return "final_answer" in conversation.tools and "Error:\n" in conversation.last_user


def say(conversation: Conversation, text: str) -> Reply | str:
    """The answer, as text or, where a framework wants that, as the call of a tool for it."""
    if "final_answer" in conversation.tools:
        return Reply(tool_calls=[ToolCall("final_answer", {"answer": text})])
    return text


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
        return say(conversation, f"I could not find out: {last_result(conversation)}")
    return Reply(tool_calls=[ToolCall("to_fahrenheit", {"celsius": float(celsius)})])


def square(conversation: Conversation) -> Reply:
    fahrenheit = numbers(last_result(conversation))[-1]
    return Reply(tool_calls=[ToolCall("run_code", {"code": f"print({fahrenheit:g} ** 2)"})])


def give_up(conversation: Conversation) -> Reply | str:
    return say(conversation, f"I could not find out: {conversation.last_user.partition('Error:')[2]}")


def greet(conversation: Conversation) -> Reply | str:
    return say(conversation, "Hello, this is a model with a script.")


def write_code(conversation: Conversation) -> str:
    """The step that is due of the code in the question."""
    question = next(message.content for message in conversation.messages if message.role == "user")
    steps = question.partition("Code: ")[2].split(" | ")
    return f"Thought: This is next.\n<code>\n{steps[conversation.turn - 1]}\n</code>"


def conclude(conversation: Conversation) -> Reply | str:
    squared = field(last_result(conversation), "stdout").replace("\\n", "")
    return say(conversation, f"Squared, that is {float(squared):g}.")


def where(conversation: Conversation, tool: str) -> dict[str, str]:
    """The file of the note, as the framework's own tool or ours takes it."""
    functions = [each["function"] for each in conversation.parameters["tools"]]
    (schema,) = (each["parameters"] for each in functions if each["name"] == tool)
    return {"file_path": "/home/user/note.txt"} if "file_path" in schema["properties"] else {"path": "note.txt"}


def note(conversation: Conversation) -> Reply:
    content = word_after(conversation, "Note")
    return Reply(tool_calls=[ToolCall("write_file", {**where(conversation, "write_file"), "content": content})])


def read_back(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("read_file", where(conversation, "read_file"))])


def tell_note(conversation: Conversation) -> Reply | str:
    found = last_result(conversation)
    return say(conversation, f"The note says {field(found, 'content') or found.split()[-1]}.")


def write_block(conversation: Conversation) -> str:
    """Code in the text of an answer, for frameworks that run it themselves."""
    return f"```python\n{conversation.last_user.partition('Run ')[2]}\n```"


def tell_code(conversation: Conversation) -> str:
    return f"The code says: {conversation.last_user.strip()}"


def run_in_shell(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("exec_command", {"cmd": conversation.last_user.partition("Type ")[2]})])


def run_in_bash(conversation: Conversation) -> Reply:
    return Reply(tool_calls=[ToolCall("Bash", {"command": conversation.last_user.partition("Bash: ")[2]})])


def tell_output(conversation: Conversation) -> str:
    return f"The shell says: {last_result(conversation)}"


def look_up(conversation: Conversation) -> Reply:
    return Reply("Let me see.", tool_calls=[ToolCall("look_up", {"word": word_after(conversation, "up")})])


def tell_entry(conversation: Conversation) -> str:
    return f"It says: {last_result(conversation)}."


def compute(conversation: Conversation) -> Reply:
    """Think, speak and call, as models do that do all of it at once."""
    code = f"print({conversation.last_user.partition('Compute ')[2]})"
    call = ToolCall("execute_python_code", {"code": code})
    return Reply("I will compute it.", reasoning="A computer knows.", tool_calls=[call])


def tell_sum(conversation: Conversation) -> str:
    return f"It is {numbers(field_of_output(last_result(conversation)))[0]:g}."


def field_of_output(result: str) -> str:
    """What AgentScope's own tool for Python prints, between its tags."""
    return result.partition("<stdout>")[2].partition("</stdout>")[0]


def recall(conversation: Conversation) -> str:
    """What the model was told before the question, in order."""
    told: list[str] = []
    for message in conversation.messages[:-1]:
        if message.role != "system" and message.content:
            told.append(f"{message.role}={message.content}")
        told += [f"call={call.name}" for call in message.tool_calls]
    return f"I recall: {', '.join([*told, *conversation.notes])}"


script = Script(
    [
        Rule(answered("look_up"), tell_entry),
        Rule("Look up", look_up),
        Rule(answered("execute_python_code"), tell_sum),
        Rule("Compute", compute),
        Rule("Recall", recall),
        Rule(failed, give_up),
        Rule(lambda conversation: any("Code: " in message.content for message in conversation.messages), write_code),
        Rule("warm", ask_weather),
        Rule(answered("get_weather"), convert),
        Rule(answered("to_fahrenheit"), square),
        Rule(answered("run_code"), conclude),
        Rule("Note", note),
        Rule(answered("write_file"), read_back),
        Rule(answered("read_file"), tell_note),
        Rule(answered("exec_command"), tell_output),
        Rule(When(tool="Bash"), tell_output),
        Rule("Type", run_in_shell),
        Rule("Bash: ", run_in_bash),
        Rule("Run ", write_block),
        Rule("tool_output", tell_code),
        Rule("Hello", greet),
    ],
    strict=True,
)
