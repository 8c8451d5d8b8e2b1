"""`stint`, the command on people's laptops and in pipelines: it speaks HTTP with Stint, and imports nothing of it."""

__version__ = "0.1.0"
