"""What one execution came to, as entries of its answer."""

from __future__ import annotations

from agentrun.emulator.guest.interpreter import Ending, Outcome
from agentrun.emulator.guest.outputs import Entry, Output, merged, result_entry

DEFAULT_TIMEOUT = 30.0
MAX_TIMEOUT = 24 * 3600.0


def entries(output: Output, outcome: Outcome, timeout: float) -> list[Entry]:
    """Everything, once it is over."""
    return merged(output.take(final=True)) + ending(outcome, timeout)


def ending(outcome: Outcome, timeout: float) -> list[Entry]:
    """What follows the output: the result, the error or the timeout, and the end."""
    if outcome.ending.timed_out:
        text = _timeout_text(outcome.ending, timeout)
        return [{"type": "timeout", "text": text}, {"type": "endOfExecution", "status": "timeout"}]
    found: list[Entry] = []
    if outcome.reply.result is not None:
        found.append(result_entry(outcome.reply.result))
    error = outcome.reply.error
    if error is not None:
        found.append({"type": "error", "name": error.name, "value": error.value, "text": error.text})
    return [*found, {"type": "endOfExecution", "status": outcome.ending.value}]


def _timeout_text(ending: Ending, timeout: float) -> str:
    state = "kept" if ending is Ending.TIMEOUT else "lost, because the code did not react to an interrupt"
    return f"the code was stopped after {timeout:g} s; the state of the context is {state}"
