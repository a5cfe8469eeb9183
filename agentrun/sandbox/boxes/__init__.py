"""Sandboxes under the names of AgentScope Runtime: thin faces over a code interpreter.

A browser, a desktop and a phone are boxes of their own, and not here yet.
"""

from __future__ import annotations

from agentrun.sandbox.boxes.base_sandbox import BaseSandbox, BaseSandboxAsync
from agentrun.sandbox.boxes.filesystem_sandbox import FilesystemSandbox, FilesystemSandboxAsync
from agentrun.sandbox.boxes.workspace import WorkspaceFiles

__all__ = ["BaseSandbox", "BaseSandboxAsync", "FilesystemSandbox", "FilesystemSandboxAsync", "WorkspaceFiles"]
