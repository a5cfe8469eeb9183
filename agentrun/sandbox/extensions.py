"""What sandboxes of the local platform can do beyond those of the cloud."""

from __future__ import annotations

from agentrun._core.extensions import Extension

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
CREDENTIAL_USE = Extension("sandbox.credential_use", "Read the log of the service that the credential is for")
METADATA = Extension("sandbox.set_metadata", "Keep the sandbox_id beside your own data")
CREATION = Extension("Sandbox.create with options of the local platform", "Leave these options away")
ACQUIRE = Extension("Sandbox.acquire", "Keep the sandbox_id and call Sandbox.connect")
FILTER = Extension("Sandbox.list with metadata", "Filter by template_name or status")
