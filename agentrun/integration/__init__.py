"""Tools, sandboxes and models of the platform as objects of agent frameworks: one module for each framework.

The module of a framework needs the extra of its name; importing this package needs none.
"""

from __future__ import annotations
