"""The test packet of `check --live`: a sensor counts it, and it is evidence of nothing else."""

from portsentry_py.core.packet import ICMP, Packet

ADDRESS = "127.0.0.1"
"""Source and target: no router forwards such a packet, and no host accepts it from a wire."""
ICMP_TYPE = 253
"""For experiments (RFC 4727, section 4); the capture filter passes all of ICMP."""


def is_self_test(packet: Packet) -> bool:
    """Whether it is the test packet. Anybody on the wire can send it, so it is only counted."""
    return packet.src == packet.dst == ADDRESS and packet.proto == ICMP and packet.src_port == ICMP_TYPE
