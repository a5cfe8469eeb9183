"""`agentrun chat`: talk to an agent that is served somewhere, in the terminal or on a page."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from agentrun.cli.output import CommandError, show

if TYPE_CHECKING:
    from agentrun.cli.chatting.served import ServedAgent

DEFAULT_PAGE_PORT = 4570
_PROTOCOLS = "agent_api, ag_ui, chat or responses; without it the first of these that the agent speaks."


def chat(
    url: Annotated[str, typer.Argument(help="Where the agent is, as in http://127.0.0.1:8080.", show_default=False)],
    question: Annotated[str, typer.Option("-q", "--question", help="Ask this, and end with the answer.")] = "",
    session_id: Annotated[str, typer.Option(help="The session to go on with; without it a new one.")] = "",
    protocol: Annotated[str, typer.Option(help=_PROTOCOLS)] = "",
    api_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="The variable that holds the key of the server, if it wants one.")
    ] = "",
    page: Annotated[bool, typer.Option("--page", help="Serve the page to talk to it on this machine.")] = False,
    port: Annotated[int, typer.Option(help="The port of the page; 0 takes a free one.")] = DEFAULT_PAGE_PORT,
) -> None:
    """Talk to an agent that is served: by agentrun, or by anything that speaks one of its protocols.

    Ctrl-C stops an answer, Ctrl-D ends the conversation. With -q the exit status is 1 when the agent fails.
    """
    # What no other command needs.
    from agentrun.cli.chatting.conversation import Conversation
    from agentrun.cli.chatting.served import ServedAgent

    key = _key(api_key_env) if api_key_env else None
    agent = ServedAgent(url, key)
    paths = agent.protocols()
    if protocol and protocol not in paths:
        raise CommandError(f"{url} does not speak {protocol}: it speaks {', '.join(paths)}")
    if page:
        _serve_page(agent, paths, key, port)
        return
    spoken = protocol or next(iter(paths))
    conversation = Conversation(agent, spoken, paths[spoken], session_id or str(uuid.uuid4()))
    if question:
        conversation.answer_once(question)
    else:
        conversation.go_on()


def _key(variable: str) -> str:
    key = os.environ.get(variable, "")
    if not key:
        raise CommandError(f"{variable} is not set: set it to the key of the server, or leave --api-key-env out")
    return key


def _serve_page(agent: ServedAgent, paths: Mapping[str, str], key: str | None, port: int) -> None:
    try:
        from agentrun.server.page.relay import relay
        from agentrun.server.serving import serve
    except ModuleNotFoundError as error:
        raise CommandError(f"the page needs {error.name}: pip install 'agentrun[server]'") from error
    told = agent.describe()
    name = str(told.get("service") or agent.hostname)
    app = relay(agent.root, paths, name, str(told.get("description") or ""), key, agent.traces_path)
    port = _free(port)
    show(f"The page to talk to {agent.root} is at http://127.0.0.1:{port}/chat", "bold")
    show("Ctrl-C ends it")
    serve(app, "127.0.0.1", port, log_level="warning")


def _free(port: int) -> int:
    """The port, if nobody has it; any such for 0."""
    try:
        with socket.create_server(("127.0.0.1", port)) as probe:
            found: int = probe.getsockname()[1]
            return found
    except OSError as error:
        raise CommandError(f"port {port} is taken ({error.strerror}): choose another --port") from error
