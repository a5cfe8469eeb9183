"""Questions and answers in one session, at a terminal."""

from __future__ import annotations

import contextlib
from importlib import import_module

from agentrun.cli.chatting.served import AgentFailed, ServedAgent
from agentrun.cli.chatting.speech import SPEAKERS, Said
from agentrun.cli.chatting.terminal import Telling
from agentrun.cli.output import CommandError, at_terminal, show, tell

_INTERRUPTED = 130


class Conversation:
    """A session with an agent, in one of its protocols."""

    def __init__(self, agent: ServedAgent, protocol: str, path: str, session_id: str) -> None:
        self._agent = agent
        self._protocol, self._path = protocol, path
        self._session_id = session_id
        self._said: list[Said] = []

    def answer_once(self, question: str) -> None:
        """Ask; raises CommandError when there is no answer."""
        try:
            self._ask(question)
        except KeyboardInterrupt:
            raise CommandError("", _INTERRUPTED) from None

    def go_on(self) -> None:
        """Ask what is typed, until there is nothing more."""
        if at_terminal():
            with contextlib.suppress(ImportError):
                import_module("readline")  # Gives `input` a line that can be edited, and a history.
            label = SPEAKERS[self._protocol].label
            show(f"{self._agent.root} by {label}, session {self._session_id}", "bold")
            show("Ctrl-C stops an answer, Ctrl-D ends", "dim")
        while (question := _typed()) is not None:
            if question.strip():
                self._ask_on(question)

    def _ask_on(self, question: str) -> None:
        try:
            self._ask(question)
        except CommandError as error:
            tell(str(error))
        except KeyboardInterrupt:
            show("(stopped)", "dim")

    def _ask(self, question: str) -> None:
        said = [*self._said, Said("user", question)]
        telling = Telling()
        # Closed in any case: who asked does not wait any more, and the agent shall know.
        with contextlib.closing(self._agent.ask(self._protocol, self._path, said, self._session_id)) as events:
            try:
                answer = telling.tell(events)
            except AgentFailed as error:
                raise CommandError(f"no answer: {error}") from error
            finally:
                telling.end()
        self._said = [*said, Said("assistant", answer)]


def _typed() -> str | None:
    """A line, empty when Ctrl-C was typed in place of it; None at the end."""
    try:
        return input("> " if at_terminal() else "")
    except KeyboardInterrupt:
        print()
        return ""
    except EOFError:
        if at_terminal():
            print()
        return None
