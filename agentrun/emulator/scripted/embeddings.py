"""Embeddings: unit vectors that depend on the text alone, nearer the more words two texts share."""

from __future__ import annotations

import base64
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import shake_256
from math import sqrt
from typing import Literal, TypedDict

from agentrun._core.values import is_list
from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.fields import array as array_at
from agentrun.emulator.scripted.fields import between, given, integer, one_of, required, string
from agentrun.emulator.scripted.reply import count_tokens
from agentrun.emulator.scripted.words import words_of

DIMENSIONS = 256
_LARGEST_DIMENSIONS = 4096
_MOST_INPUTS = 2048
# So many places of a vector tell of one word: few enough to be cheap, many enough that two words hardly share them.
_PLACES = 8
_BYTES_PER_PLACE = 4


class EmbeddingFields(TypedDict):
    """One vector: numbers, or little-endian 32-bit floats as base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class UsageFields(TypedDict):
    """What the request cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsFields(TypedDict):
    """The body of an answer."""

    object: Literal["list"]
    data: list[EmbeddingFields]
    model: str
    usage: UsageFields


def embed(model: str, fields: Mapping[str, object]) -> EmbeddingsFields:
    """Answer a request; raise ApiError 400 that names the field at fault."""
    dimensions = between(1, _LARGEST_DIMENSIONS)(given(fields, "dimensions", DIMENSIONS), "dimensions")
    packed = one_of(given(fields, "encoding_format", "float"), "encoding_format", ("float", "base64")) == "base64"
    inputs = _read_input(required(fields, "input"))
    vectors = (vector_of(words, dimensions) for words, _ in inputs)
    tokens = sum(tokens for _, tokens in inputs)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector.tolist()}
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector_of(words: Sequence[str], dimensions: int) -> array[float]:
    """Return the unit vector of some words, of 32-bit floats."""
    sums = [0] * dimensions
    for word, times in Counter(words).items():
        for place, sign in _places(word, dimensions):
            sums[place] += sign * times
    if not any(sums):
        # In few dimensions words may cancel each other out.
        sums[0] = 1
    length = sqrt(sum(value * value for value in sums))
    return array("f", (value / length for value in sums))


def _places(word: str, dimensions: int) -> Iterator[tuple[int, int]]:
    digest = shake_256(word.encode("utf-8", "surrogatepass")).digest(_PLACES * _BYTES_PER_PLACE)
    for start in range(0, len(digest), _BYTES_PER_PLACE):
        number = int.from_bytes(digest[start : start + _BYTES_PER_PLACE], "big")
        yield (number >> 1) % dimensions, 1 if number & 1 else -1


def _packed(vector: array[float]) -> str:
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def _read_input(value: object) -> list[tuple[list[str], int]]:
    """Read a text, tokens, or several of them, as words and the number of tokens."""
    if isinstance(value, str):
        return [_read_text(value, "input")]
    listed = array_at(value, "input")
    if not 1 <= len(listed) <= _MOST_INPUTS:
        text = f"input has {len(listed)} items; it must have 1 to {_MOST_INPUTS}."
        raise bad_request(text, "invalid_value" if listed else "empty_array", "input")
    if isinstance(listed[0], int):
        return [_read_tokens(listed, "input")]
    return [_read_item(item, f"input[{index}]") for index, item in enumerate(listed)]


def _read_item(value: object, where: str) -> tuple[list[str], int]:
    return _read_tokens(value, where) if is_list(value) else _read_text(value, where)


def _read_text(value: object, where: str) -> tuple[list[str], int]:
    text = string(value, where)
    if not text:
        raise bad_request(f"{where} is an empty string.", "invalid_value", where)
    return words_of(text), count_tokens(text)


def _read_tokens(value: Sequence[object], where: str) -> tuple[list[str], int]:
    if not value:
        raise bad_request(f"{where} is empty: send at least one token.", "empty_array", where)
    return [str(integer(token, f"{where}[{index}]")) for index, token in enumerate(value)], len(value)
