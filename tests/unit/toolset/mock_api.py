"""A server made from a document, which knows nothing of the code under test.

It finds the operation by method and path, takes the parameters apart by the rules of the specification, holds them and
the body against the document's own schemas, and answers an example of the answer's schema.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from itertools import pairwise
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from agentrun._core.values import is_list, is_mapping
from tests.unit.servers import Behaviour, Line, Received, answer
from tests.unit.toolset.making import make

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Wrong(Exception):
    """The request is not what the document describes."""


def followed(root: Any, value: Any) -> Any:
    """A value, or what its reference leads to in the same document."""
    while is_mapping(value) and isinstance(value.get("$ref"), str):
        reference: str = value["$ref"]
        assert reference.startswith("#/"), reference
        value = root
        for part in unquote(reference[2:]).split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if is_list(value) else value[key]
    return value


def modern(value: Any, root: Any) -> Any:
    """A copy of a document of 3.0 whose schemas a validator of 2020-12 understands, as requests have them."""
    if is_list(value):
        return [modern(part, root) for part in value]
    if not is_mapping(value):
        return value
    found = {name: modern(part, root) for name, part in value.items()}
    if isinstance(found.get("pattern"), str):
        found.pop("pattern")  # Of another language than Python's.
    properties = found.get("properties")
    if is_mapping(properties) and is_list(found.get("required")):
        read_only = {
            n for n, part in properties.items() if is_mapping(part) and followed(root, part).get("readOnly") is True
        }
        found["required"] = [name for name in found["required"] if name not in read_only]
    for bound, switch in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(found.get(switch), bool) and found.pop(switch):
            found[switch] = found.pop(bound)
    return {"anyOf": [found, {"type": "null"}]} if found.pop("nullable", None) is True else found


@dataclass
class Call:
    """A request as the server understood it: values by location and name, and the body."""

    operation: Mapping[str, Any]
    values: dict[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])
    body: Any = None


class MockAPI:
    """Checks requests against a document that is `modern`."""

    def __init__(self, document: Any, seed: int) -> None:
        self.root = document
        self.calls: list[Call] = []
        self.faults: list[str] = []
        self._random = random.Random(seed)
        resource = DRAFT202012.create_resource(self.root)
        self._registry: Any = cast("Any", Registry)().with_resource("doc:", resource)

    def behaviour(self) -> Behaviour:
        """What a server does with each request."""

        def behave(line: Line, request: Received) -> bool:
            try:
                call = self._understood(request)
            except (Wrong, AssertionError, LookupError, TypeError, AttributeError, ValueError) as error:
                self.faults.append(f"{request.method} {request.path}: {error!r} {request.body[:500]!r}")
                return answer({"fault": str(error)}, 418)(line, request)
            self.calls.append(call)
            content, kind = self._answer(call.operation)
            return answer(content, 200, {"content-type": kind})(line, request)

        return behave

    # Understanding

    def _understood(self, request: Received) -> Call:
        path, _, query = request.path.partition("?")
        template, item, parts = self._route(request.method.lower(), path)
        operation = item[request.method.lower()]
        call = Call(operation)
        for parameter in self._parameters(item, operation):
            self._take(call, parameter, parts, query, request)
        self._take_body(call, template, request)
        return call

    def _route(self, method: str, path: str) -> tuple[str, Any, dict[str, str]]:
        found: list[tuple[int, str, Any, dict[str, str]]] = []
        for template, raw in self.root["paths"].items():
            item = followed(self.root, raw)
            pattern = re.sub(r"\\\{([^{}]+)\\\}", "([^/]*)", re.escape(template))
            match = re.fullmatch(pattern, path)
            if method in item and match:
                names = re.findall(r"\{([^{}]+)\}", template)
                found.append((len(names), template, item, dict(zip(names, match.groups(), strict=True))))
        if not found:
            raise Wrong("no such operation")
        _, template, item, parts = min(found, key=lambda each: each[0])
        return template, item, parts

    def _parameters(self, item: Any, operation: Any) -> list[Any]:
        listed = [followed(self.root, each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))]
        return list({(each["in"], each["name"]): each for each in listed}.values())

    def _take(self, call: Call, parameter: Any, parts: dict[str, str], query: str, request: Received) -> None:
        name, place = parameter["name"], parameter["in"]
        if place == "header" and name.lower() in ("accept", "content-type", "authorization"):
            return
        schema = parameter.get("schema", {})
        read = {"path": self._in_path, "query": self._in_query, "header": self._in_header, "cookie": self._in_cookie}[
            place
        ]
        try:
            value = read(parameter, schema, {"parts": parts, "query": query, "headers": request.headers})
        except LookupError:
            if parameter.get("required"):
                raise Wrong(f"{place} {name} is missing") from None
            return
        self._validate(value, schema, f"{place} {name}")
        call.values[place, name] = value

    def _in_path(self, parameter: Any, schema: Any, request: Any) -> Any:
        text = request["parts"][parameter["name"]]
        assert parameter.get("style", "simple") == "simple"
        return self._listed(text, schema, ",", unquote)

    def _in_query(self, parameter: Any, schema: Any, request: Any) -> Any:
        name, style = parameter["name"], parameter.get("style", "form")
        pairs = [pair.partition("=") for pair in request["query"].split("&") if pair]
        raw = [(unquote(key), text) for key, _, text in pairs]
        if "content" in parameter:
            return json.loads(unquote(dict(raw)[name]))
        if style == "deepObject":
            return self._coerced(nested([(key, unquote(text)) for key, text in raw], name), schema)
        texts = [text for key, text in raw if key == name]
        explode = parameter.get("explode", style == "form")
        if explode and self._is(schema, "object") and not self._is(schema, "array"):
            return self._coerced({key: unquote(text) for key, text in raw}, schema)
        if not texts:
            raise LookupError(name)
        if explode and self._is(schema, "array"):
            return self._coerced([unquote(text) for text in texts], schema)
        separator = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}[style]
        return self._listed(texts[0], schema, separator, unquote)

    def _in_header(self, parameter: Any, schema: Any, request: Any) -> Any:
        return self._listed(request["headers"][parameter["name"].lower()], schema, ",", str)

    def _in_cookie(self, parameter: Any, schema: Any, request: Any) -> Any:
        cookies = dict(each.strip().split("=", 1) for each in request["headers"]["cookie"].split(";"))
        return self._listed(cookies[parameter["name"]], schema, ",", unquote)

    def _listed(self, text: str, schema: Any, separator: str, decoded: Callable[[str], str]) -> Any:
        if self._is(schema, "array"):
            return self._coerced([decoded(part) for part in text.split(separator)], schema)
        return self._coerced(decoded(text), schema)

    def _is(self, schema: Any, kind: str) -> bool:
        found = followed(self.root, schema)
        branches = [*found.get("anyOf", ()), *found.get("oneOf", ()), *found.get("allOf", ())]
        return found.get("type") == kind or any(self._is(branch, kind) for branch in branches)

    # Values out of text

    def _coerced(self, value: Any, schema: Any, depth: int = 0) -> Any:
        """Text as what the schema says it is."""
        found: Any = followed(self.root, schema) if is_mapping(schema) else {}
        for branch in (*found.get("anyOf", ()), *found.get("oneOf", ()), *found.get("allOf", ())):
            made = self._coerced(value, branch, depth + 1)
            if self._fits(made, branch):
                return made
        if is_mapping(value):
            properties, others = found.get("properties", {}), found.get("additionalProperties", {})
            if found.get("type") == "array" and all(key.isdigit() for key in value):
                return [self._coerced(part, found.get("items", {}), depth + 1) for part in value.values()]
            return {key: self._coerced(part, properties.get(key, others), depth + 1) for key, part in value.items()}
        if is_list(value):
            return [self._coerced(part, found.get("items", {}), depth + 1) for part in value]
        return scalar(value, found.get("type"))

    def _fits(self, value: Any, schema: Any) -> bool:
        return bool(self._validator(schema).is_valid(value))

    def _validator(self, schema: Any) -> Any:
        absolute = json.loads(json.dumps(schema).replace('"$ref": "#/', '"$ref": "doc:#/'))
        return Draft202012Validator(absolute, registry=self._registry)

    def _validate(self, value: Any, schema: Any, place: str) -> None:
        for error in self._validator(schema).iter_errors(value):
            raise Wrong(f"{place}: {error.json_path}: {error.message[:300]}")

    # The body

    def _take_body(self, call: Call, template: str, request: Received) -> None:
        described = followed(self.root, call.operation.get("requestBody"))
        if not request.body:
            if described and described.get("required"):
                raise Wrong("the body is missing")
            return
        if not described:
            raise Wrong("a body that nobody asked for")
        kind = request.headers["content-type"].partition(";")[0]
        content = described["content"]
        chosen = (
            content.get(kind)
            or next((c for k, c in content.items() if k.partition(";")[0] == kind), None)
            or content.get("*/*")
        )
        if chosen is None:
            raise Wrong(f"{kind} is not one of {list(content)}")
        schema = chosen.get("schema", {})
        call.body = self._read_body(kind, request, schema)
        self._validate(call.body, schema, "body")

    def _read_body(self, kind: str, request: Received, schema: Any) -> Any:
        if kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
            return self._coerced(nested(pairs), schema)
        if kind == "multipart/form-data":
            return self._coerced(multipart(request), schema)
        if "json" in kind:
            return json.loads(request.body)
        return request.body.decode("latin-1")

    # Answering

    def _answer(self, operation: Any) -> tuple[bytes, str]:
        for status, raw in operation.get("responses", {}).items():
            content = followed(self.root, raw).get("content", {})
            kind = next((kind for kind in content if "json" in kind or kind == "*/*"), None)
            if str(status).startswith(("2", "default")) and kind:
                schema = content[kind].get("schema", {})
                made = make(schema, lambda reference: followed(self.root, {"$ref": reference}), self._random)
                return json.dumps(made).encode(), "application/json" if kind == "*/*" else kind
        return b"", "text/plain"


def scalar(value: str, kind: Any) -> Any:
    if kind == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind in ("object", "array") and value[:1] in ("{", "["):
        return json.loads(value)  # How the code under test writes what no style can say.
    return value


def nested(pairs: list[tuple[str, str]], only: str | None = None) -> Any:
    """What `a[b][0]=c` and `a[]=c` stand for; all of it, or what is below one name."""
    found: dict[str, Any] = {}
    for key, text in pairs:
        path = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key)
        holder = found
        for part, following in pairwise(path):
            holder = holder.setdefault(part, [] if following == "" else {})
        if is_list(holder):
            holder.append(text)
        elif path[-1] in holder:
            known = holder[path[-1]]
            holder[path[-1]] = [*(known if is_list(known) else [known]), text]
        else:
            holder[path[-1]] = text
    return found if only is None else found[only]


def multipart(request: Received) -> dict[str, Any]:
    """The parts of a form, taken apart by the standard library's mail parser."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + request.body)
    found: dict[str, Any] = {}
    parts: Any = message.get_payload()
    for part in parts:
        name = str(part.get_param("name", header="content-disposition"))
        text = part.get_payload(decode=True).decode("latin-1")
        if name in found:
            found[name] = [*(found[name] if is_list(found[name]) else [found[name]]), text]
        else:
            found[name] = text
    return found
