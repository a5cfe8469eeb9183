"""The tools of Alipay: payments and subscriptions."""

from __future__ import annotations
