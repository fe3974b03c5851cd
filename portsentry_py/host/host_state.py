"""Puts together what the core must know of this host."""

from portsentry_py.config.settings import Networks
from portsentry_py.core.host_state import HostState
from portsentry_py.events.model import Reason
from portsentry_py.host.administrators import administrators, can_tell_logins, sshd_ports
from portsentry_py.host.interfaces import broadcast_addresses, own_addresses
from portsentry_py.host.never_ban import protected_addresses
from portsentry_py.host.sockets import local_ports, read_sockets


def host_state(home: Networks, traps: frozenset[int] = frozenset()) -> HostState:
    """The host as it is now.

    Args:
        home: networks that the operator counts as ours.
        traps: ports that we opened ourselves; nobody is served there.

    Raises:
        OSError: /proc cannot be read now.
    """
    sockets = read_sockets(traps)
    sshd = sshd_ports(sockets.listeners)
    logged_in = administrators(sockets.connections, sshd)
    # A client that tries passwords must not be taken for a visitor.
    strangers_at = sshd if can_tell_logins() else frozenset[int]()
    broadcasts: dict[str, Reason] = dict.fromkeys(broadcast_addresses(), "not_bannable")
    return HostState(
        own=own_addresses(),
        home=home,
        listening_tcp=sockets.tcp,
        open_traps=traps,
        listening_udp=sockets.udp,
        protected=broadcasts | protected_addresses() | dict.fromkeys(logged_in, "ssh_session"),
        peers=frozenset(one.peer for one in sockets.connections if one.port not in strangers_at) - logged_in,
        contacts=sockets.contacts,
        local_ports=local_ports(),
    )
