"""What outlives a restart: the learned state of the pipeline between two packets."""

from collections.abc import Sequence
from typing import NamedTuple

from portsentry_py.core.scan_tracker import Scan
from portsentry_py.core.served_ports import Learned
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.core.standing import Acquaintance


class SavedState(NamedTuple):
    """The learned state; each part in the order of its last use, the latest last.

    `standing` is what is known of addresses that had sessions.
    """

    known: Sequence[SourceRecord] = ()
    newcomers: Sequence[SourceRecord] = ()
    scans: Sequence[Scan] = ()
    learned: Sequence[Learned] = ()
    standing: Sequence[Acquaintance] = ()
