"""What one source has tried, and what follows from it."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

# Of the probes of a type, so many in ten give the scan its name.
_TYPE_SHARE = 9


class Endpoint(NamedTuple):
    """What was asked for: one port (or protocol, or ICMP type) of one host."""

    target: str
    proto: str
    port: int


class StackFingerprint(NamedTuple):
    """What a sender's packets look like and a forger would have to guess: hops and header size."""

    ttl: int
    header_bytes: int


@dataclass(slots=True)
class Attempt:
    """The state of one pair: when it was asked for, whether it is sure that nobody answers, and refused."""

    first_us: int
    last_us: int
    scan_type: str
    settled: bool = False
    refused: bool = False


@dataclass(slots=True)
class SourceRecord:
    """One source's attempts on what nobody serves.

    `unserved` holds them in the order of their last probe; `closed` of them were refused. `opened` are pairs
    that turned out to be served. `types` counts probes by scan type, `tools` by fingerprint, `makes` by what
    the sender looks like; `proven` are makes that answered for themselves, at the ports `proofs`. `sessions`
    counts connections that it really used. `decoy`: others sent the same probes; `tunnelled`: they came
    inside a tunnel.
    """

    source: str
    direction: str
    first_us: int
    last_us: int
    unserved: "OrderedDict[Endpoint, Attempt]" = field(default_factory=OrderedDict)
    targets: Counter[str] = field(default_factory=Counter)
    closed: int = 0
    # Tuples, because most records never have one: an empty set would cost 216 bytes.
    opened: tuple[Endpoint, ...] = ()
    types: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    makes: Counter[StackFingerprint] = field(default_factory=Counter)
    proven: tuple[StackFingerprint, ...] = ()
    proofs: tuple[Endpoint, ...] = ()
    attempts: int = 0
    probes: int = 0
    score: int = 0
    sessions: int = 0
    last_check_us: int = 0
    trap_touches: int = 0
    trap_answered: bool = False
    decoy: bool = False
    tunnelled: bool = False
    forgotten: bool = False

    @property
    def ports(self) -> int:
        """Distinct (proto, port) that nobody serves, over all targets."""
        if len(self.targets) == 1:
            return len(self.unserved)
        return len({(pair.proto, pair.port) for pair in self.unserved})

    @property
    def verified(self) -> bool:
        """Whether the source proved that it receives what we send, with packets of the same make.

        A friend proves itself with its own sessions; what is forged in its name has another make.
        """
        if self.trap_answered:
            return True
        return any(self.makes[make] * 2 >= self.probes > 0 for make in self.proven)

    @property
    def scan_type(self) -> str:
        """What most of its probes are."""
        return prevailing(self.types)

    @property
    def tool(self) -> str | None:
        """The tool whose fingerprint at least half of the probes carry."""
        if not self.tools:
            return None
        name, count = self.tools.most_common(1)[0]
        return name if count * 2 >= self.probes else None

    def recent(self, now_us: int, window_us: int, most: int) -> Iterator[tuple[Endpoint, Attempt]]:
        """Attempts within the window before now, the latest first, at most so many.

        Captures can hold times that run backwards: the distance counts, not its sign.
        """
        for pair, attempt in islice(reversed(self.unserved.items()), most):
            if abs(now_us - attempt.last_us) > window_us:
                return
            yield pair, attempt


def prevailing(types: Counter[str]) -> str:
    """The one scan type among these, or `mixed` where none makes up nine in ten of them."""
    if not types:
        return "unknown"
    name, count = types.most_common(1)[0]
    return name if count * 10 >= _TYPE_SHARE * types.total() else "mixed"
