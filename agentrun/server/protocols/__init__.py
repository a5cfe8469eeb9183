"""How an agent is spoken to: one module for each protocol, requests in and events out."""
