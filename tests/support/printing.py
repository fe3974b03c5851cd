"""Lines as other versions of tshark print them; the builders print those of 4.0."""

import re

from tests.support.build import cells, with_cells


def coloned(line: str) -> str:
    """The line as tshark 4.4 prints it."""
    return with_cells(line, data=":".join(re.findall("..", cells(line)["data"].rstrip("…"))))


def worded(line: str) -> str:
    """The line as tshark 3.6 prints it."""
    found = cells(line)
    return with_cells(
        line,
        proto={"6": "TCP", "17": "UDP", "1": "ICMP"}[found["proto"]],
        more={"0": "Not set", "1": "Set"}[found["more"]],
        id=f"{found['id']} ({int(found['id'], 16)})",
    )
