"""The data plane: what talks to the things that run, and the scripted model."""
