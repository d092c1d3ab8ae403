"""How many rows to take at once: as many as the API answers within a few seconds, however slow it is."""

ANSWER_S = 5.0
"""For about so long one batch may take. Outcomes then come steadily, and far from the API's time-out."""

FIRST_ROWS = 32
"""Before anything is known: even 2 s an image end before the time-out of a minute."""

FEWEST_ROWS = 8
"""As many as go through the model at once."""


class BatchSize:
    """`rows` is the most to take next; it follows what the last batch took."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.rows = min(FIRST_ROWS, most)

    def took(self, rows: int, seconds: float) -> None:
        """Say how long a batch of `rows`, at least one, took."""
        fitting = self._most if seconds <= 0 else int(ANSWER_S * rows / seconds)
        self.rows = max(min(fitting, self._most), min(FEWEST_ROWS, self._most))
