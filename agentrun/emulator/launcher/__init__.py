"""What stands between the emulator and its sandboxes: a launcher that forks their agents, zygotes that fork Python.

These processes load everything once and then only fork, so that a sandbox starts in milliseconds. They are trusted,
hold no secret, and what they fork puts up its walls before it touches anything of a user. Nothing here imports the
emulator: it has to be small, because every fork copies it.
"""
