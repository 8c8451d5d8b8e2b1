"""`python -m broker.cli` in the repository is `stint`."""

from .main import main

main()
