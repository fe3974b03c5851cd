"""The budget of bans: how many new sources may get the verdict `ban`, and which.

Anybody can forge a scan in anybody's name. Bans of sources that proved nothing are few, in all and for one network,
and the more probes a source sent, the sooner it has one: a forger pays for each.
"""

from operator import itemgetter

from portsentry_py.config.settings import Bans
from portsentry_py.core.host_state import network_of, wide_network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.rate_limit import NetworkBuckets, bucket_of
from portsentry_py.core.source_record import SourceRecord, StackFingerprint
from portsentry_py.events.model import Reason

_MANY_PROBES = 64
_WIDE_SHARE = 4
# Unrelated sources, but one sender by its stack and its distance: strangers with the same tool are rarely this many
# with the same number of hops in this time.
_ONE_SENDER_NETWORKS = 32
_ONE_SENDER_US = 600_000_000
_MAX_STACKS = 1_024
BUDGET_REASONS: frozenset[Reason] = frozenset({"ban_budget", "one_sender"})
"""Why `refusal` says no."""
# Fewer attempts make no finding.
_FEW_ATTEMPTS = 3


class BanBudget:
    """Says whether a source may be banned now, bounded in networks and stacks."""

    def __init__(self, settings: Bans) -> None:
        self._all = bucket_of(settings.unverified_per_minute)
        self._networks = NetworkBuckets(settings.network_per_minute, wide_network_of)
        self._verified = OwnerBuckets(settings.verified_per_minute)
        self._senders: LruTable[StackFingerprint, dict[str, int]] = LruTable(_MAX_STACKS)

    def refusal(self, record: SourceRecord, now_us: int) -> Reason | None:
        """Why the source must not be banned now; None if it may be, which takes from the budget."""
        if record.verified:
            return None if self._verified.take(record.address, now_us) else "ban_budget"
        if self._is_one_sender(record, now_us):
            return "one_sender"
        network = self._networks.of(record.address)
        if self._all.refill(now_us) < self._least(record) or not network.take(now_us):
            return "ban_budget"
        self._all.take(now_us)
        return None

    def is_spent(self, record: SourceRecord, now_us: int) -> bool:
        """Whether there is no ban for an unverified source, whatever it does; quick, and not always known."""
        if self._all.level(now_us) < self._least(record) or self._networks.is_spent(record.address, now_us):
            return True
        networks = self._senders.peek(_stack_of(record)) if record.stacks else None
        if networks is None or len(networks) < _ONE_SENDER_NETWORKS:
            return False
        # A source that is not judged any more must not be forgotten, or its sender begins again.
        return len(record.unserved) < _FEW_ATTEMPTS or self._is_one_sender(record, now_us)

    def _least(self, record: SourceRecord) -> float:
        """A quarter is kept for sources that sent many probes: no scanner is hidden by others forged with less."""
        return 1 if record.probes >= _MANY_PROBES else self._all.rate.size / 4

    def level(self, now_us: int) -> float:
        """How many unverified sources may be banned now."""
        return self._all.level(now_us)

    def _is_one_sender(self, record: SourceRecord, now_us: int) -> bool:
        """Whether sources of many unrelated networks have the same stack at the same distance."""
        if not record.stacks:
            return False  # an evicted source's last answer
        stack = _stack_of(record)
        networks = self._senders.touch(stack)
        if networks is None:
            networks = {}
            self._senders.put(stack, networks)
        network = wide_network_of(record.address)
        networks.pop(network, None)
        networks[network] = now_us
        while abs(now_us - networks[oldest := next(iter(networks))]) > _ONE_SENDER_US or (
            len(networks) > _ONE_SENDER_NETWORKS
        ):
            del networks[oldest]
        return len(networks) >= _ONE_SENDER_NETWORKS


def _stack_of(record: SourceRecord) -> StackFingerprint:
    """The stack of most probes."""
    return max(record.stacks.items(), key=itemgetter(1))[0]


class OwnerBuckets:
    """A bucket for each /24 or /48, and four times as much for the /16 or /32 around it.

    An owner of an IPv6 /32 has 65,536 networks whose sources it can prove.
    """

    def __init__(self, per_minute: int) -> None:
        self._near = NetworkBuckets(per_minute, owner_of)
        self._wide = NetworkBuckets(_WIDE_SHARE * per_minute, wide_network_of)

    def take(self, address: str, now_us: int) -> bool:
        """Take a token of both buckets if both have one."""
        near = self._near.of(address)
        if near.refill(now_us) < 1 or not self._wide.of(address).take(now_us):
            return False
        return near.take(now_us)


def owner_of(address: str) -> str:
    """The network that one owner mostly has: /24 or /48."""
    return network_of(address, 48) if ":" in address else network_of(address)
