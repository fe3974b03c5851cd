"""What does not work now: each cause is reported once, and once more when all is well again."""

import logging

_MOST_CAUSES = 8
_diagnostics = logging.getLogger(__name__)


class Troubles:
    """Troubles by a word for what they hinder."""

    def __init__(self) -> None:
        self._reported: dict[str, set[str]] = {}

    def report(self, what: str, sentence: str) -> None:
        """Report each cause of a trouble once, until it is over."""
        causes = self._reported.setdefault(what, set())
        if sentence not in causes and len(causes) < _MOST_CAUSES:
            causes.add(sentence)
            _diagnostics.warning("%s", sentence)

    def is_over(self, what: str) -> None:
        """Say that all is well again, if it was not."""
        if self._reported.pop(what, None):
            _diagnostics.warning("%s: all is well again.", what)
