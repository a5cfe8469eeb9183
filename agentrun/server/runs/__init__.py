"""What happens to runs of an agent: one for each session, stopped, gone on with, and in the background."""
