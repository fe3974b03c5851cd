"""The nmap techniques that are compared, as a user would type them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Technique:
    """Options of nmap; with decoys, that many other hosts seem to send the same, all before the scanner."""

    options: str
    decoys: int = 0

    @property
    def remark(self) -> str:
        """What the options do not say."""
        return f" `-D` with {self.decoys} decoys, the scanner last" if self.decoys else ""

    @property
    def version(self) -> int:
        return 6 if "-6" in shlex.split(self.options) else 4

    def command(self, decoys: Sequence[str], target: str) -> list[str]:
        """The whole command line: no names asked, no ping first, nothing else tuned."""
        hidden = ["-D", ",".join([*decoys, "ME"])] if decoys else []
        return ["nmap", "-n", "-Pn", *shlex.split(self.options), *hidden, target]


# Everybody must see this one: what does not is not running.
PLAIN = Technique("-sS -p1-100")

TECHNIQUES = (
    PLAIN,
    Technique("-sT -p1-100"),
    Technique("-sF -p1-100"),
    Technique("-sN -p1-100"),
    Technique("-sX -p1-100"),
    Technique("-sM -p1-100"),
    Technique("-sA -p1-100"),
    Technique("-sW -p1-100"),
    Technique("-sS --scanflags SYNFIN -p1-100"),
    Technique("-sS --scanflags URGPSH -p1-100"),
    Technique("-sS --scanflags SYNECECWR -p1-100"),
    Technique("-sU -p1-20"),
    Technique("-sY -p1-100"),
    Technique("-sZ -p1-100"),
    Technique("-sO -p1-20"),
    Technique("-sS -f -p1-100"),
    Technique("-sS --badsum -p1-100"),
    Technique("-sS -g 53 -p1-100"),
    Technique("-sS -p1-100", decoys=3),
    Technique("-sS -p1-100", decoys=10),
    Technique("-sS --scan-delay 1s -p1-25"),
    Technique("-sS --scan-delay 4s -p1-8"),
    Technique("-6 -sS -p1-100"),
    Technique("-6 -sT -p1-100"),
    Technique("-6 -sX -p1-100"),
    Technique("-6 -sU -p1-20"),
)

# scanlogd: 21 points, three for a port below 1024, one for others, at most three seconds between two ports.
EDGES = (
    Technique("-sS -p1-6"),
    Technique("-sS -p1-7"),
    Technique("-sS -p3000-3019"),
    Technique("-sS -p3000-3020"),
    Technique("-sS -p1018-1024"),
    Technique("-sS -p1018-1026"),
    Technique("-sS --scan-delay 2s -p1-7"),
    Technique("-sS -p20-26"),
)
