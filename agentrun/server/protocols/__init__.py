"""The protocols, each in a file of its own: requests become questions to an agent, and its events answers."""
