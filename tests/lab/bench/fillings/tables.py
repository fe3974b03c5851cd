"""Every bounded table of the core, and how it is filled while all others stay small."""

from tests.lab.bench.fillings.admission import ADMISSION
from tests.lab.bench.fillings.caches import CACHES
from tests.lab.bench.fillings.expected import EXPECTED
from tests.lab.bench.fillings.flows import FLOWS
from tests.lab.bench.fillings.scans import SCANS
from tests.lab.bench.fillings.sources import SOURCES

TABLES = (*SOURCES, *SCANS, *FLOWS, *EXPECTED, *ADMISSION, *CACHES)
