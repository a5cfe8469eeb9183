"""Tables of pandas as data, as the Data Resource format describes them."""

from __future__ import annotations

import json
from typing import Any

MIME_TYPE = "application/vnd.dataresource+json"
MAX_ROWS = 1000
DIGITS = 15


def describe(table: Any) -> dict[str, Any] | None:
    """The schema and the first rows of a DataFrame; None for one that the format cannot express."""
    try:
        text = table.head(MAX_ROWS).to_json(orient="table", double_precision=DIGITS)
    except (ValueError, TypeError, NotImplementedError, OverflowError):
        return None
    return {**json.loads(text), "truncated": len(table) > MAX_ROWS}
