"""Which organisation that scans the whole internet a source belongs to, by its network."""

from collections.abc import Iterable
from functools import lru_cache

from portsentry_py.config.settings import KnownScanner, Network
from portsentry_py.core.host_state import parsed


class KnownScanners:
    """The look-up. A name is a hint for the reader: anybody can forge a packet from such a network."""

    def __init__(self, networks: Iterable[tuple[Network, KnownScanner]] = ()) -> None:
        # By version and number of host bits, the longest prefix first.
        self._names: dict[tuple[int, int], dict[int, KnownScanner]] = {}
        for network, name in sorted(networks, key=lambda row: -row[0].prefixlen):
            bits = network.max_prefixlen - network.prefixlen
            first = int(network.network_address) >> bits
            self._names.setdefault((network.version, bits), {}).setdefault(first, name)
        self.of = lru_cache(maxsize=8192)(self._of)
        """The name of the scanner whose longest network holds a canonical address; None if there is none."""

    def _of(self, address: str) -> KnownScanner | None:
        one = parsed(address)
        number = int(one)
        for (version, bits), names in self._names.items():
            if version == one.version and (name := names.get(number >> bits)) is not None:
                return name
        return None
