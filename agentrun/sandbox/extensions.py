"""What the local platform can do beyond the cloud, and how a call that the cloud does not know is refused.

The emulator marks each of its answers with the header `x-agentrun-emulator`. An extension that is answered with "no
such thing" and without that mark becomes an UnsupportedError, which says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from agentrun.errors import Executed, HTTPError, UnsupportedError

EMULATOR_HEADER = "x-agentrun-emulator"
_UNKNOWN_THERE = (400, 404, 405, 501)


@dataclass(frozen=True)
class Extension:
    """Something that only the local platform does: what users call it, and what they can do elsewhere."""

    name: str
    instead: str

    def unsupported(self, error: HTTPError | None = None) -> UnsupportedError:
        """The error for a platform that does not have it."""
        return UnsupportedError(
            (error.status_code if error else None) or 501,
            f"{self.name} is an extension of the local platform, and this endpoint does not have it",
            error.request_id if error else None,
            error.error_code if error else None,
            executed=Executed.NO,
            hint=self.instead,
        )

    def is_unknown_to(self, error: HTTPError) -> bool:
        """Whether an answer comes from a platform that does not have this extension."""
        return error.status_code in _UNKNOWN_THERE and not is_emulator(error.response_headers)

    def require(self, endpoint: str) -> None:
        """Raise UnsupportedError unless the endpoint is on this machine: others might ignore what they do not know."""
        if not is_loopback(endpoint):
            raise self.unsupported()


def is_emulator(headers: Mapping[str, str]) -> bool:
    """Whether an answer with these headers comes from the local platform."""
    return EMULATOR_HEADER in headers


def is_loopback(endpoint: str) -> bool:
    """Whether a base URL leads to this machine."""
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_AGAIN = "Run the code again in a new context"
RESTART = Extension("context.restart", "Delete the context and create a new one")
INTERRUPT = Extension("context.interrupt", "Give execute a timeout")
CHECKPOINT = Extension("context.checkpoint", _AGAIN)
ROLLBACK = Extension("context.rollback", _AGAIN)
FORK = Extension("context.fork", _AGAIN)
STREAM = Extension("context.execute_stream", "Call context.execute, which answers when the code has ended")
WRITE_STREAM = Extension("file.write_stream", "Call file_system.upload with a local file")
BATCH = Extension("file.read_many and file.write_many", "Call file.read and file.write for each file")
SIGNED_URL = Extension("file.url", "Call file_system.download or file_system.upload")
SEARCH = Extension("file_system.search", "Run find with process.cmd")
PERMISSIONS = Extension("file_system.set_permissions", "Run chmod or chown with process.cmd")
WATCH = Extension("file_system.watch", "Call file_system.list again and compare")
COMMAND_OPTIONS = Extension("process.cmd with env or stdin", "Write them into the command")
COMMAND_STREAM = Extension("process.cmd with on_stdout or on_stderr", "Take stdout and stderr of the result")
START = Extension("process.start", 'Run "nohup ... &" with process.cmd')
SIGNAL = Extension("process.kill with a signal", "Run kill with process.cmd")
PTY = Extension("process.pty", "Run commands with process.cmd")
PORTS = Extension("sandbox.port", "Use a template of type CustomImage, whose port the cloud serves")
LIFETIME = Extension("sandbox.set_timeout", "Give the template sandbox_ttlin_seconds and the sandbox its idle timeout")
NETWORK = Extension("sandbox.set_network", "Give the template a network_configuration")
CAPABILITIES = Extension("sandbox.capabilities", "The cloud has no extensions")
PATCH = Extension("sandbox.patch", "Run git diff with process.cmd")
METADATA = Extension("sandbox.set_metadata", "Keep the sandbox_id beside your own data")
CREATION = Extension("Sandbox.create with options of the local platform", "Leave these options away")
ACQUIRE = Extension("Sandbox.acquire", "Keep the sandbox_id and call Sandbox.connect")
FILTER = Extension("Sandbox.list with metadata", "Filter by template_name or status")
