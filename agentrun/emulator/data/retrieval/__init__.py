"""Searches in documents of this machine, in the words of the providers of knowledge bases: one file for each."""

from __future__ import annotations
