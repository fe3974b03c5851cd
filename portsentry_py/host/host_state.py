"""Puts together what the core must know of this host."""

from portsentry_py.config.settings import Networks
from portsentry_py.core.host_state import HostState
from portsentry_py.host.interfaces import own_addresses
from portsentry_py.host.never_ban import protected_addresses
from portsentry_py.host.sockets import read_sockets


def host_state(home: Networks, traps: frozenset[int] = frozenset()) -> HostState:
    """The host as it is now.

    Args:
        home: networks that the operator counts as ours.
        traps: ports that we opened ourselves; nobody is served there.

    Raises:
        OSError: /proc cannot be read now.
    """
    sockets = read_sockets(traps)
    return HostState(
        own=own_addresses(),
        home=home,
        listening_tcp=sockets.tcp,
        open_traps=traps,
        listening_udp=sockets.udp,
        protected=protected_addresses() | dict.fromkeys(sockets.administrators, "ssh_session"),
        peers=sockets.peers,
    )
