"""A rich result of code: the same value in several formats, of which a notebook shows the best one."""

from __future__ import annotations

import base64
import importlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentrun.errors import SandboxError

TABLE = "application/vnd.dataresource+json"


@dataclass(frozen=True)
class Result:
    """A value or a chart that code gave: `data` holds it by media type, images as Base64.

    `display` tells what the code displayed from the value of its last line.
    """

    data: Mapping[str, Any]
    display: bool = False
    type: Literal["result"] = field(default="result", init=False)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Result:
        """The result out of an entry of the service, which may hold nothing but text."""
        plain = {"text/plain": entry["text"]} if entry.get("text") is not None else {}
        return cls({**plain, **(entry.get("data") or {})}, bool(entry.get("display")))

    @property
    def text(self) -> str | None:
        """The value as text."""
        return self._text("text/plain")

    @property
    def html(self) -> str | None:
        """The value as HTML."""
        return self._text("text/html")

    @property
    def markdown(self) -> str | None:
        """The value as Markdown."""
        return self._text("text/markdown")

    @property
    def latex(self) -> str | None:
        """The value as LaTeX."""
        return self._text("text/latex")

    @property
    def svg(self) -> str | None:
        """The picture as SVG."""
        return self._text("image/svg+xml")

    @property
    def png(self) -> bytes | None:
        """The picture as PNG."""
        return self._bytes("image/png")

    @property
    def jpeg(self) -> bytes | None:
        """The picture as JPEG."""
        return self._bytes("image/jpeg")

    @property
    def json(self) -> Any:
        """The value as JSON has it, None when there is none."""
        return self.data.get("application/json")

    @property
    def table(self) -> dict[str, Any] | None:
        """The first rows of a DataFrame: `schema`, `data`, and `truncated` when there were more."""
        return self.data.get(TABLE)

    @property
    def dataframe(self) -> Any:
        """The table as a pandas DataFrame, None when there is none; raises SandboxError where pandas is missing."""
        if self.table is None:
            return None
        try:
            pandas: Any = importlib.import_module("pandas")
        except ImportError as error:
            raise SandboxError("a DataFrame needs pandas", hint="Install it, or take the rows from table") from error
        return pandas.read_json(io.StringIO(json.dumps(self.table)), orient="table")

    def _text(self, kind: str) -> str | None:
        value = self.data.get(kind)
        return None if value is None else str(value)

    def _bytes(self, kind: str) -> bytes | None:
        value = self.data.get(kind)
        return None if value is None else base64.b64decode(value)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return dict(self.data)
