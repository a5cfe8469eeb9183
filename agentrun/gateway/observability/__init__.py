"""What the gateway has done: counts, metrics and spans."""
