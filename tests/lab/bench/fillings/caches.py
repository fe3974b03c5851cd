"""Functions that remember their last results."""

from collections.abc import Callable, Iterator
from itertools import product
from operator import attrgetter
from types import ModuleType
from typing import Any

from portsentry_py.config.settings import Limits, Settings
from portsentry_py.core import columns, decode, fingerprints, host_state, source_record
from portsentry_py.core.columns import SharedCells
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import SYN, TCP
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.source_record import Endpoint
from portsentry_py.events import model
from tests.lab.bench.fillings.engine import small_engine
from tests.lab.bench.fillings.table import Table
from tests.lab.bench.lines import VLANS, Sender


def _addresses(sender: Sender, nth: int) -> tuple[Any, ...]:
    return (sender.source(nth, nth),)


def _pair(sender: Sender, nth: int) -> Endpoint:
    return Endpoint(sender.target(nth), "tcp", nth)


def _cells(_sender: Sender, nth: int) -> tuple[Any, ...]:
    vlan, ttl = str(nth % VLANS), str(255 - nth // VLANS)
    cells = SharedCells("6", "0", "0", "", ttl=ttl, vlan=vlan, iface="interface-name0")
    return ("\t".join(cells),)


def _cached(
    name: str,
    module: ModuleType,
    function: str,
    arguments: Callable[[Sender, int], tuple[Any, ...]] = _addresses,
    beside: tuple[str, ...] = (),
) -> Table:
    cached = getattr(module, function)
    size: int = cached.cache_info().maxsize

    def fill(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
        engine = small_engine(sender, but=function)
        for numbers in (range(1), range(3 * size // 2)):
            for nth in numbers:
                cached(*arguments(sender, nth))
            yield engine

    def held(_engine: Pipeline) -> int:
        return int(cached.cache_info().currsize)

    inside = (f"{module.__name__}.{function}", *beside)
    return Table(f"cache: {name}", f"{size:,}", lambda _: size, held, fill, inside=inside, version=6)


def _caches(name: str, argument: Callable[[Sender, int], str], *paths: str, inside: tuple[str, ...]) -> Table:
    """Caches of an engine."""

    def infos(engine: Pipeline) -> list[Any]:
        return [attrgetter(path)(engine).cache_info() for path in paths]

    size = sum(info.maxsize for info in infos(Pipeline(Settings(), HostState())))

    def fill(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
        engine = small_engine(sender)
        for numbers in (range(1), range(3 * size // 2)):
            for nth, path in product(numbers, paths):
                attrgetter(path)(engine)(argument(sender, nth))
            yield engine

    def held(engine: Pipeline) -> int:
        return sum(info.currsize for info in infos(engine))

    return Table(f"cache: {name}", f"{size:,}", lambda _: size, held, fill, inside=inside, version=6)


CACHES = (
    _cached("addresses as objects", host_state, "parsed"),
    _cached("networks of addresses", host_state, "network_of"),
    _cached("networks of one owner or provider", host_state, "wide_network_of", beside=("NetworkBuckets._network_of",)),
    _cached(
        "networks that may scan together",
        host_state,
        "groups_of",
        lambda sender, nth: (f"{_addresses(sender, nth)[0][:19]}::/64",),
    ),
    _cached("addresses that can be one host's", host_state, "is_unicast"),
    _cached("canonical IPv6 addresses", decode, "_canonical_ipv6"),
    _cached("addresses that packets go to", decode, "_canonical_target"),
    _cached("ports that somebody serves", source_record, "_shared", lambda sender, nth: (_pair(sender, nth),)),
    _cached("counts that records share", source_record, "_one", lambda sender, nth: (sender.target(nth), 1)),
    _cached("addresses as numbers", fingerprints, "_address"),
    _caches(
        "which addresses are ours",
        lambda sender, nth: sender.target(nth),
        "_is_home",
        "_flows.home._is_in_networks",
        inside=("Pipeline._is_home", "Admission._is_home", "Home._is_in_networks"),
    ),
    _caches(
        "which addresses are one host",
        lambda sender, nth: sender.target(nth),
        "_detection._questions.host_of",
        inside=("Questions.host_of",),
    ),
    _caches(
        "known scanners", lambda sender, nth: sender.source(nth), "_detection._known.of", inside=("KnownScanners.of",)
    ),
    _caches(
        "sources of addresses",
        lambda sender, nth: sender.source(nth),
        "_source_of",
        "_flows.home.source6_of",
        inside=(*(f"{name}._source_of" for name in ("Pipeline", "Admission", "SuppressedSources")), "Home.source6_of"),
    ),
    _cached("tools", fingerprints, "_by_headers", lambda _, nth: (TCP, SYN, nth, 60, f"{nth:040d}".encode())),
    _cached("seconds as text", model, "_second", lambda _, nth: (nth,)),
    _cached("columns that many lines share", decode, "_shared", _cells),
    _cached("transports of lines", columns, "_transport", _cells),
)
