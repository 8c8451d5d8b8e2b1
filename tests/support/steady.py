"""A monotonic clock that is frozen until the test moves it."""


class Steady:
    """Replaces the module ``time`` in code that reads ``time.monotonic``."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at
