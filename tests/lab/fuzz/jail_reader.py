"""Reads lines as fail2ban does, with its own classes; run by fail2ban's own interpreter, so it knows no more.

    jail_reader.py FOLDER MODE...

FOLDER holds filter.d. Each line of standard input is a JSON list of log lines; each line of standard output a
JSON list with, for each mode, for each log line, the addresses found, and the seconds that it took.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter


def jail_filter(folder: str, mode: str) -> Any:
    """fail2ban's filter as a jail with that mode has it."""
    reader = FilterReader("portsentry-py", "portsentry", {"mode": mode}, basedir=folder)
    assert reader.read()
    reader.getOptions(None)
    made = Filter(None)
    made.checkFindTime = False
    for command in reader.convert():
        values = command[3] if command[0] == "multi-set" else command[3:]
        for value in values:
            if command[2] == "addfailregex":
                made.addFailRegex(value)
            elif command[2] == "datepattern":
                made.setDatePattern(value)
    assert made.getFailRegex()
    return made


def read(made: Any, lines: list[str]) -> Iterator[tuple[list[str], float]]:
    """What is found in each line, and how long it took."""
    for line in lines:
        began = time.process_time()
        found = [str(one[1]) for one in made.processLine(line)]
        yield found, time.process_time() - began


def main() -> None:
    """Answer until there is no more."""
    logging.getLogger("fail2ban").setLevel(logging.CRITICAL)
    folder, *modes = sys.argv[1:]
    filters = [jail_filter(folder, mode) for mode in modes]
    print(json.dumps([made.getFailRegex() for made in filters]), flush=True)
    for text in sys.stdin:
        lines = json.loads(text)
        print(json.dumps([list(read(made, lines)) for made in filters]), flush=True)


if __name__ == "__main__":
    main()
