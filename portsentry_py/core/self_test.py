"""The packet that `check --live` sends and a sensor knows: no evidence of anything but that it is heard."""

from portsentry_py.core.packet import ICMP, Packet

ADDRESS = "127.0.0.1"
"""Source and target: such a packet is nobody's, no router passes it on and no host takes it from a wire."""
ICMP_TYPE = 253
"""For experiments (RFC 4727, section 4); the capture filter lets all of ICMP pass."""


def is_self_test(packet: Packet) -> bool:
    """Whether it is that packet. Anybody on the same wire can send it: it must do no more than be noticed."""
    return packet.src == packet.dst == ADDRESS and packet.proto == ICMP and packet.src_port == ICMP_TYPE
