"""Ports that nobody serves and that only a scanner asks for."""

from tests.scenarios.conversations import OFFICE, call, half_open, served
from tests.scenarios.scenario import Named, scenario
from tests.support.build import FRIEND, MSS_OPTION, SCANNER, Sent, in_time, refused, syn


@scenario(
    Named(SCANNER, "watch", "trap", "syn", "decoy_port"),
    Named(SCANNER, "ban", "trap", "syn", "decoy_port"),
    Named(FRIEND, "watch", "trap", "syn", "decoy_port"),
    config="# The second touch is a ban, whatever the default will be.\ntraps:\n  ban_on: second\n",
)
def trap_touch() -> list[Sent]:
    """One source touches two decoy ports, another touches one.

    The first touch is watched, the second is a ban; one touch alone stays watched.
    """
    first, second = syn(SCANNER, 11, 70, every=5)
    (once,) = syn(FRIEND, 19, at=2, seq=2000)
    return in_time(refused([first], [second]), refused([once]))


@scenario(
    Named(SCANNER, "watch", "trap", "connect", "decoy_port"),
    Named(SCANNER, "ban", "trap", "connect", "decoy_port", verified=True),
    Named(FRIEND, "watch", "trap", "syn", "decoy_port"),
    config="traps:\n  listen: true\n",
)
def trap_listen() -> list[Sent]:
    """A decoy port is open: one visitor completes the handshake, another SYN is forged.

    Who completed it is banned, verified; the friend in whose name the other SYN came is only watched.
    """
    forged = call(FRIEND, 15, at=2, options=MSS_OPTION, ttl=44)
    return in_time(served(call(SCANNER, 11, at=0), read=0), half_open(forged), served(call(OFFICE, 443, at=3)))
