"""OpenAI's responses: what an agent does as a list of items, whole or streamed, kept for the turns that follow."""

from __future__ import annotations
