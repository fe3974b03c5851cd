"""A moment that an operator names: a date, a time, or how long ago."""

import re
from datetime import datetime, timedelta, timezone

from portsentry_py.errors import UsageError

_AGO = re.compile(r"(\d{1,6}) ?(s|min|h|d|w)", re.ASCII)
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment_us(text: str, now_us: int, option: str) -> int:
    """Microseconds since 1970 of `2026-11-20`, `2026-11-20T08:41`, or `7d` before now. A time without a zone is UTC.

    Raises:
        UsageError: it is none of these.
    """
    if ago := _AGO.fullmatch(text):
        return now_us - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) // timedelta(microseconds=1)
    try:
        # Python 3.10 reads no `Z`.
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option}: {text} is no time; give 2026-11-20, 2026-11-20T08:41Z or 7d, 12h, 30min."
        ) from error
