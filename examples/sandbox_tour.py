"""A walk through what one sandbox can do; each function is one stop, and says what it shows.

On this machine:   agentrun emulator exec -- python examples/sandbox_tour.py

Most stops use extensions of the local platform; on the cloud these raise UnsupportedError, which says what to do there.
"""

from __future__ import annotations

import time
from uuid import uuid4

import httpx

from agentrun import CodeInterpreterSandbox, NetworkPolicy, Sandbox, Template, TemplateType
from agentrun.errors import WaitTimeoutError
from agentrun.sandbox import SandboxPort

HOME = "/home/user"
COUNT = "import time\nfor number in range(3):\n    print(number)\n    time.sleep(0.05)"
FETCH = """
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://example.com", timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


def keep_variables(sandbox: CodeInterpreterSandbox) -> None:
    """A context remembers; two of them know nothing of each other."""
    with sandbox.context.create() as first, sandbox.context.create(language="bash") as second:
        first.execute("total = 40")
        second.execute("total=1")
        print("python:", first.execute("total + 2").text)
        print("bash:", (second.execute("echo $((total + 2))").stdout or "").strip())


def watch_code_run(sandbox: CodeInterpreterSandbox) -> None:
    """Output arrives while the code runs."""
    began = time.perf_counter()
    with sandbox.context.execute_stream(COUNT) as events:
        for event in events:
            if event.type == "stdout":
                print(f"{event.text.strip()} after {(time.perf_counter() - began) * 1000:.0f} ms")


def move_files(sandbox: CodeInterpreterSandbox) -> None:
    """Files of any size go in and out in pieces."""
    written = sandbox.file.write_stream(f"{HOME}/data/big.bin", (bytes([n]) * 100_000 for n in range(50)))
    read = sum(len(piece) for piece in sandbox.file.stream(f"{HOME}/data/big.bin"))
    print("written and read:", written["size"], read)
    sandbox.file.write_many({f"{HOME}/data/a.txt": "one", f"{HOME}/data/b.txt": "two"})
    print("found:", [entry["name"] for entry in sandbox.file_system.search(f"{HOME}/data", "*.txt")["entries"]])


def reach_a_server(sandbox: CodeInterpreterSandbox) -> None:
    """A server that listens inside has a URL outside; requests to it are signed like all others."""
    sandbox.file.write(f"{HOME}/site/index.html", "hello from inside\n")
    server = sandbox.process.start(["python3", "-m", "http.server", "8000"], f"{HOME}/site")
    print("the server says:", get(sandbox.port(8000), "index.html").strip())
    server.kill()
    print("it ended with", server.wait(timeout=10).exit_code)


def get(port: SandboxPort, path: str, seconds: float = 10) -> str:
    """Ask a server that may still be coming up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = httpx.get(port.url(path), headers=port.headers("GET", path))
        if answer.is_success:
            return answer.text
        time.sleep(0.05)
    raise WaitTimeoutError(f"{port} did not answer within {seconds:g} s")


def type_into_a_terminal(sandbox: CodeInterpreterSandbox) -> None:
    """A shell that believes in a screen and a keyboard."""
    with sandbox.process.pty(columns=100, rows=30) as terminal:
        terminal.write("stty size\n")
        terminal.read_until("30 100")
        terminal.write("exit 3\n")
        print("the terminal is 100 columns wide; its shell exited with", terminal.wait(timeout=10))


def try_two_ways(sandbox: CodeInterpreterSandbox) -> None:
    """A running interpreter is copied with its variables and files, and taken back."""
    with sandbox.context.create(cwd=f"{HOME}/data") as context:
        context.execute("prices = [3, 2]")
        before = context.checkpoint()
        context.execute("prices.clear(); open('notes.txt', 'w').write('a mistake')")
        context.rollback(before)
        print("after the rollback:", context.execute("import os; prices, os.path.exists('notes.txt')").text)
        for copy, more in zip(context.fork(2), (7, 9), strict=True):
            print("one way:", copy.execute(f"prices.append({more}); prices").text)
            copy.delete()


def close_the_network(sandbox: CodeInterpreterSandbox) -> None:
    """What may be reached is changed while the sandbox runs, and a refusal names the rule that it would need."""
    for policy in (NetworkPolicy.off(), NetworkPolicy.allow("pypi.org")):
        sandbox.set_network(policy)
        print(f"{policy.mode}:", (sandbox.context.execute(FETCH).stdout or "").strip())


def rest(sandbox: CodeInterpreterSandbox) -> None:
    """A paused sandbox uses no processor; the next call wakes it."""
    began = time.perf_counter()
    print(f"{sandbox.pause().status} after {(time.perf_counter() - began) * 1000:.1f} ms")
    print("woken by a call:", sandbox.context.execute("6 * 7").text)


STOPS = (
    keep_variables,
    watch_code_run,
    move_files,
    reach_a_server,
    type_into_a_terminal,
    try_two_ways,
    close_the_network,
    rest,
)


def main() -> None:
    """Make a template and one sandbox of it, visit every stop, and delete both."""
    template = Template.create(template_name=f"tour-{uuid4().hex[:8]}", template_type=TemplateType.CODE_INTERPRETER)
    try:
        with Sandbox.create(TemplateType.CODE_INTERPRETER, template.template_name, leased=True) as sandbox:
            print("isolation:", sandbox.isolation.level if sandbox.isolation else "that of the cloud")
            for stop in STOPS:
                print(f"\n{stop.__doc__}")
                stop(sandbox)
    finally:
        template.delete_and_wait_until_finished()


if __name__ == "__main__":
    main()
