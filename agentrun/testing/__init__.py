"""Fixtures for tests that need a platform: pytest finds them by itself once agentrun is installed.

| fixture | what it is |
|---|---|
| `agentrun_emulator` | one emulator for the whole run, on a free port |
| `agentrun_config` | a `Config` that leads to an empty account of it, for one test |
| `agentrun_environment` | the same account through the environment, for code that makes its own `Config` |
| `agentrun_script` | sets what the scripted model answers during one test |
| `agentrun_recording` | answers model calls from a recording during one test; `pytest --agentrun-record` records it |
| `agentrun_emulator_settings` | override it to start the emulator with other settings |

Where plugins are not loaded by themselves: `pytest_plugins = ["agentrun.testing.plugin"]`.
"""

from __future__ import annotations

from agentrun.testing.plugin import (
    SetScript,
    UseRecording,
    agentrun_config,
    agentrun_emulator,
    agentrun_emulator_settings,
    agentrun_environment,
    agentrun_provider,
    agentrun_recording,
    agentrun_script,
)

__all__ = [
    "SetScript",
    "UseRecording",
    "agentrun_config",
    "agentrun_emulator",
    "agentrun_emulator_settings",
    "agentrun_environment",
    "agentrun_provider",
    "agentrun_recording",
    "agentrun_script",
]
