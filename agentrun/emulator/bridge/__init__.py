"""MCP over HTTP for a server that speaks it in messages: one of another program, or one of the emulator itself.

As a program it runs where the server runs, behind the same walls, so nothing of agentrun is imported but this package.
"""
