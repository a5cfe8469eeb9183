"""The programs that execute code: one per language, each a child process of the guest that keeps a context's state."""

from __future__ import annotations
