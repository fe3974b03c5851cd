"""Ports that scanners sweep for and that clients and peer-to-peer programs do not use."""

_PRIVILEGED = range(1, 1024)
# Every client probes many hosts for these, in vain if its own network is broken.
_ORDINARY = frozenset({25, 53, 80, 123, 443, 853})
# Sweeps of these were seen at telescopes and honeypots (Durumeric et al. 2014; Antonakakis et al. 2017, on
# Mirai and its variants; maltrail's infection ports): databases, remote desktops, caches, cameras, routers.
# fmt: off
_SWEPT = frozenset({
    1433, 1521, 1723, 1883, 2049, 2222, 2323, 2375, 2376, 3128, 3306, 3389, 4444, 4786, 5000, 5060,
    5432, 5555, 5900, 5901, 5984, 5985, 6379, 6443, 7001, 7547, 8000, 8008, 8080, 8081, 8088, 8291,
    8443, 8545, 8888, 9000, 9090, 9200, 9527, 10000, 10250, 11211, 27017, 37215, 50070, 52869,
    60001,
})
# fmt: on


def is_swept_port(port: int) -> bool:
    """Whether probes of this port on many hosts are a sweep, rather than a client or a peer."""
    return (port in _PRIVILEGED and port not in _ORDINARY) or port in _SWEPT


def is_ordinary_port(port: int) -> bool:
    """Whether every client asks many hosts for this port."""
    return port in _ORDINARY
