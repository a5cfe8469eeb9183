"""The files below one folder, and nothing beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agentrun.errors import InvalidInputError, ToolError
from agentrun.integration._function import tool
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet
