"""Who searches the documents of knowledge bases: one file for each provider, all of one shape."""

from __future__ import annotations
