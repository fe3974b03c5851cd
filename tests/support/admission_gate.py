"""An admission for tests, and what arrives at it."""

from portsentry_py.config.settings import Limits
from portsentry_py.core.admission import Admission, _Tokens
from portsentry_py.core.columns import head_of
from tests.support.build import FRIEND, HOST, HOST6, Sent, home_hosts, lines, syn

# Two sources are admitted at once; then one in a second.
LIMITS = Limits(new_sources_per_second=1, max_held=64)
SCANNER6_NETWORK = "2001:db8:bad::/64"


def strangers(count: int, *, every: float = 0.001, at: float = 0.0) -> list[Sent]:
    """One SYN from each of `count` sources."""
    return [syn(f"198.18.{number // 250}.{number % 250 + 1}", 80, at=at + number * every)[0] for number in range(count)]


def source_of(address: str) -> str:
    """For addresses of the scanner's network, the network; else the address."""
    return SCANNER6_NETWORK if address.startswith("2001:db8:bad:") else address


def spend(*places: _Tokens, debt: int = 1_000_000_000) -> None:
    """Others took the places and owe so many, by default for longer than any test lasts."""
    for tokens in places:
        tokens.has("1700000000.000000")
        tokens.pay(debt)


class Gate:
    """An admission on HOST and HOST6 that has no token left."""

    def __init__(self, *known: str, limits: Limits = LIMITS) -> None:
        self.waits_again = dict.fromkeys(known, False)
        self.admission = Admission(
            limits,
            source_of=source_of,
            waits_again=self.waits_again.get,
            is_queried=lambda address: address == FRIEND,
            is_home=lambda address: address in {HOST, HOST6, *home_hosts(3)},
            answers_unseen=lambda head: head[1] in {HOST, HOST6},
        )
        for line in lines(*strangers(2)):
            assert self.admits(line) == (line,)

    def admits(self, line: str) -> tuple[str, ...]:
        """The lines to inspect now."""
        admitted = self.admission.admit(line, head_of(line))
        return (line,) if admitted is None else tuple(admitted)

    def kept(self, source: str) -> list[str]:
        """The lines that wait for a source."""
        admission = self.admission
        once = admission._newer.get(source) or admission._older.get(source)
        again = admission._again.get(source)
        return again.lines if again else once.split("\n") if once else []
