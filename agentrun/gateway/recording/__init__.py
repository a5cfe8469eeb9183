"""Calls of models and their answers, kept in a file and served from it again: the same bytes, at the same times."""
