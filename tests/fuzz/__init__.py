"""Parsers under input that nobody would write: `make fuzz` runs them with atheris, and a quick test replays
what it kept.
"""
