"""Secrets that code may use without having them: placeholders inside, and the real values put in on the way out."""
