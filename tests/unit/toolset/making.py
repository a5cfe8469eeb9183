"""Random values that a JSON schema describes."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agentrun._core.values import is_list, is_mapping

FORMATS = {
    "date": "2024-05-06",
    "date-time": "2024-05-06T07:08:09Z",
    "email": "someone@example.com",
    "uri": "https://example.com/a?b=c",
    "uuid": "12345678-1234-4234-8234-123456789abc",
    "ipv4": "192.0.2.1",
}
SIMPLE = ("string", "integer", "number", "boolean")
FOR_PATTERNS = ("abc", "stable", "1.2.3", "0123456789abcdef01234567", "a.json", "ZmlsZQ==", "sha256:" + "0a" * 32)
# What has to be escaped somewhere: in paths, queries, forms, headers, JSON.
CHARACTERS = string.ascii_letters + string.digits + " /?&=+%:@.,;~"


class Unmakeable(Exception):
    """No value was found."""


def make(schema: Any, follow: Callable[[str], Any], randomness: random.Random, depth: int = 0) -> Any:
    """A random value; deeper than some levels only what must be there."""
    if not is_mapping(schema):
        return "anything"
    if depth > 12:
        raise Unmakeable
    if "$ref" in schema:
        return make(
            {**follow(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}},
            follow,
            randomness,
            depth + 1,
        )
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return randomness.choice(schema["enum"])
    for word in ("oneOf", "anyOf"):
        if word in schema:
            rest = {k: v for k, v in schema.items() if k != word}
            branches = [each for each in schema[word] if each != {"type": "null"}]
            simple = [each for each in branches if is_mapping(each) and each.get("type") in SIMPLE]
            chosen = randomness.choice((simple if depth > 3 else branches) or branches)
            return make(merged(rest, chosen, follow), follow, randomness, depth + 1)
    if "allOf" in schema:
        whole: Any = {k: v for k, v in schema.items() if k != "allOf"}
        for part in schema["allOf"]:
            whole = merged(whole, part, follow)
        return make(whole, follow, randomness, depth + 1)
    return made_by_type(schema, follow, randomness, depth)


def merged(schema: Any, part: Any, follow: Callable[[str], Any]) -> Any:
    if not is_mapping(part):
        return schema
    while "$ref" in part:
        part = follow(part["$ref"])
    both = {**schema, **part}
    if "properties" in schema and "properties" in part:
        both["properties"] = {**schema["properties"], **part["properties"]}
    both["required"] = [*schema.get("required", ()), *part.get("required", ())]
    return both


def made_by_type(schema: Any, follow: Callable[[str], Any], randomness: random.Random, depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "string")
    if is_list(kind):
        kind = next(each for each in kind if each != "null")
    if kind == "object":
        return made_object(schema, follow, randomness, depth)
    if kind == "array":
        count = max(1, schema.get("minItems", 0), min(2, schema.get("maxItems", 2)) if depth < 3 else 1)
        items = [make(schema.get("items", {}), follow, randomness, depth + 1) for _ in range(count)]
        return items[:1] if schema.get("uniqueItems") else items
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1001) - 1)
        return randomness.randint(int(low), max(int(low), int(min(high, low + 1000))))
    if kind == "boolean":
        return randomness.random() < 0.5
    return None if kind == "null" else made_text(schema, randomness)


def made_object(schema: Any, follow: Callable[[str], Any], randomness: random.Random, depth: int) -> Any:
    properties, required = schema.get("properties", {}), set(schema.get("required", ()))
    likely = 0.5 if depth == 0 else 0.25 if depth < 4 else 0.0
    wanted = [name for name in properties if name in required or randomness.random() < likely]
    for together in [name for name in wanted if name in schema.get("dependentRequired", {})]:
        wanted += [name for name in schema["dependentRequired"][together] if name not in wanted]
    found: dict[str, Any] = {}
    for name in wanted:
        try:
            found[name] = make(properties.get(name, {}), follow, randomness, depth + 1)
        except Unmakeable:
            if name in required:
                raise
    for name in required - properties.keys():
        found[name] = make({}, follow, randomness, depth + 1)
    if not found and properties and 0 < depth < 8:
        # A form cannot say that there is an empty object.
        found.update(_one(properties, follow, randomness, depth))
    if not found and not properties and depth:
        others = schema.get("additionalProperties", {})
        found["key"] = make(
            others if is_mapping(others) and others else {"type": "string"}, follow, randomness, depth + 1
        )
    return found


def _one(properties: Any, follow: Callable[[str], Any], randomness: random.Random, depth: int) -> dict[str, Any]:
    for name, part in properties.items():
        with suppress(Unmakeable):
            return {name: make(part, follow, randomness, depth + 1)}
    return {}


def made_text(schema: Any, randomness: random.Random) -> str:
    if "pattern" in schema:
        candidates = [*(each for each in schema.get("examples", ()) if isinstance(each, str)), *FOR_PATTERNS]
        return next((each for each in candidates if re.search(schema["pattern"], each)), "")
    if schema.get("contentEncoding") == "base64":
        return "ZmlsZQ=="
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    low = max(schema.get("minLength", 1), 1)
    high = min(schema.get("maxLength", low + 12), low + 12)
    text = "".join(randomness.choice(CHARACTERS) for _ in range(randomness.randint(low, max(low, high))))
    return text.strip(" ./").rjust(low, "x") or "x"
