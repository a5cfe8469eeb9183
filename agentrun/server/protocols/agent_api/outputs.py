"""What tools give, in the form of the wire: a list of blocks, written as JSON text."""

from __future__ import annotations

import json
from typing import Any

from agentrun._core.values import is_list, is_object


def output_text(result: Any) -> str:
    """What a tool gave, for the wire; what is a list of blocks already stays as it is."""
    if isinstance(result, str) and not _blocks(result):
        return json.dumps([{"type": "text", "text": result}], ensure_ascii=False)
    return json_text(result)


def plain_output(output: Any) -> str:
    """What a tool gave, from the wire: the text of its blocks, or where they are not all text, the JSON of them."""
    blocks = _blocks(output)
    if blocks and all(block["type"] == "text" and isinstance(block.get("text"), str) for block in blocks):
        return "".join(block["text"] for block in blocks)
    return json_text("" if output is None else output)


def json_text(value: Any) -> str:
    """A value as JSON; what is text is taken for JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _blocks(output: Any) -> list[dict[str, Any]]:
    """The blocks that an output is, be it JSON text or not; none where it is something else."""
    if isinstance(output, str):
        try:
            output = json.loads(output) if output.startswith("[") else None
        except ValueError:
            return []
    if not is_list(output):
        return []
    blocks = [block for block in output if is_object(block) and "type" in block]
    return blocks if len(blocks) == len(output) else []
