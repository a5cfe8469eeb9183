"""Talking to an agent that is served somewhere: finding how, asking, and telling a person what it does."""
