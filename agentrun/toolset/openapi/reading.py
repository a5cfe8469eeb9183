"""Where a document comes from: a mapping, a text, a file or a URL; as values, with the address it was found at."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from agentrun._core.api import USER_AGENT, error_of, timeouts
from agentrun._core.session import Request
from agentrun._core.values import is_mapping
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi.yaml import parse_yaml

MOST_BYTES = 64 * 1024 * 1024
_FILES = (".json", ".yaml", ".yml")
_OUT = re.compile(r"""\$ref["']?\s*:\s*["']?[^"'#\s]""")
_ACCEPT = "application/json, application/yaml, text/yaml;q=0.9, */*;q=0.5"


@dataclass(frozen=True)
class Source:
    """The values of a document; `uri` is where it was found, empty for a text or a mapping.

    `leads_out` says whether it may refer to other documents.
    """

    value: Any
    uri: str = ""
    leads_out: bool = False


async def read(source: Any, config: Config) -> Source:
    """The values of a source; raises InvalidInputError when it cannot be read, and what a failed request means."""
    if is_mapping(source):
        return Source(source)
    if isinstance(source, bytes):
        return Source(parse(_decoded(source, "the document"), "the document"))
    if isinstance(source, PathLike):
        return read_file(Path(fspath(cast("PathLike[str]", source))))
    if not isinstance(source, str):
        hint = "Give a mapping, a text, a path or a URL"
        raise InvalidInputError(f"{type(source).__name__} is no OpenAPI document", field="schema", hint=hint)
    text = source.strip()
    if text.startswith(("http://", "https://")) and len(text.split()) == 1:
        return await read_url(text, config)
    if text.lower().endswith(_FILES) and "\n" not in text:
        return read_file(Path(text))
    return Source(parse(source, "the document"))


def read_file(path: Path) -> Source:
    """The values of a file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInputError(f"{path} is larger than {MOST_BYTES} bytes", field="schema")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field="schema") from None
    return _located(_decoded(content, str(path)), str(path), path.resolve().as_uri())


async def read_url(url: str, config: Config) -> Source:
    """The values of what a URL answers; sent without any header of the Config, because it may be anybody's."""
    headers = {"user-agent": USER_AGENT, "accept": _ACCEPT}
    request = Request("GET", url, headers, None, timeouts(config), config.get_max_retries())
    reply = await config.session.send(request)
    where = url.partition("?")[0]
    if reply.status >= 400:
        raise error_of(reply.status, reply.headers, reply.content)
    if reply.status != 200:
        hint = f"It leads to {reply.headers['location']}" if "location" in reply.headers else None
        raise InvalidInputError(f"{where} answers with status {reply.status}", field="schema", hint=hint)
    if len(reply.content) > MOST_BYTES:
        raise InvalidInputError(f"{where} is larger than {MOST_BYTES} bytes", field="schema")
    return _located(_decoded(reply.content, where), where, url)


def _located(text: str, where: str, uri: str) -> Source:
    # A search of the text is a hundred times as fast as a walk through all values.
    return Source(parse(text, where), uri, bool(_OUT.search(text)))


def path_of(uri: str) -> Path:
    """The file of a `file:` URI."""
    return Path(unquote(urlsplit(uri).path))


def parse(text: str, where: str) -> Any:
    """The values of a JSON or YAML text; raises InvalidInputError with the place of what is wrong."""
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        try:
            return json.loads(text.lstrip("\ufeff"))
        except RecursionError:
            raise InvalidInputError(f"{where} is nested too deeply", field="schema") from None
        except ValueError as error:
            return _flow_yaml(text, where, error)
    return parse_yaml(text, where)


def _flow_yaml(text: str, where: str, error: ValueError) -> Any:
    """YAML may begin with a brace too; when it is not that either, the error of JSON is the one that helps."""
    try:
        return parse_yaml(text, where)
    except InvalidInputError:
        raise InvalidInputError(f"{where} is no JSON: {error}", field="schema") from None


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{where} is no UTF-8 text: byte {error.start} is no part of one") from None
