"""Inbound credentials: what callers show, and whether it is right."""
