"""A scanner address that nobody has seen before, for every scan: no sensor's memory carries over."""

from tests.support.namespaces import IFACE, Host, Lab

# 198.18.0.0/15 is kept for measurements (RFC 2544). Each address is in a network of its own, because some
# sensors judge networks as well.
SCANNERS_V4, SCANNERS_V6 = "198.18.{}.66", "2001:db8:18:{}::66"
DECOYS_V4 = "198.19.{}.66"
ROUTES = ("198.18.0.0/15", "2001:db8:18::/48")


class Origins:
    """Moves the lab's scanner from address to address."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._used = 0
        self._decoys = 0
        for network in ROUTES:
            _ip(lab.target, "route", "add", network, "dev", IFACE)

    def fresh(self, version: int) -> str:
        """The address that the scanner speaks from now on."""
        self._used += 1
        address = (SCANNERS_V4 if version == 4 else SCANNERS_V6).format(self._used)
        self._own(address)
        target = (self._lab.target.ipv4 if version == 4 else self._lab.target.ipv6)[0]
        _ip(self._lab.scanner, "route", "replace", target, "dev", IFACE, "src", address)
        return address

    def decoys(self, count: int) -> list[str]:
        """Addresses of hosts that are there: what is sent to them arrives."""
        found = [DECOYS_V4.format(self._decoys + number) for number in range(count)]
        self._decoys += count
        for address in found:
            self._own(address)
        return found

    def _own(self, address: str) -> None:
        length, words = ("128", ["nodad"]) if ":" in address else ("32", [])
        _ip(self._lab.scanner, "addr", "add", f"{address}/{length}", "dev", IFACE, *words)


def _ip(host: Host, *words: str) -> None:
    done = host.run("ip", *words)
    if done.returncode != 0:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr.strip()}")
