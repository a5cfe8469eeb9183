"""A gateway for models: one OpenAI-compatible endpoint in front of many, which routes, limits, caches and counts."""
