"""The `stint` command for laptops and pipelines. It calls Stint over HTTP and imports none of its code."""

__version__ = "0.1.0"
