"""`stint`, the command on people's laptops and in pipelines: it talks to Stint over HTTP, and imports nothing of it."""

__version__ = "0.1.0"
