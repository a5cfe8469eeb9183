"""The tools of Alibaba Cloud Model Studio (DashScope): search, retrieval, images, videos, speech."""

from __future__ import annotations
