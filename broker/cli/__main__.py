"""Run `stint` as `python -m broker.cli` in the repository."""

from .main import main

main()
