"""YAML, for those few who are given some: its parser is an extra, and slow to load."""

from __future__ import annotations

from typing import Any


def read_yaml(text: str) -> Any:
    """What a text holds. Raises ValueError when it is no YAML or too deep, ModuleNotFoundError without PyYAML."""
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
