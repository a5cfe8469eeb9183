"""The index in which the documents of knowledge bases are searched on this machine."""

from __future__ import annotations
