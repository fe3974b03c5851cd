"""A line becomes a packet, or a reason why there is none; no text makes it raise."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.columns import split
from portsentry_py.core.decode import MAX_TIME_US, Discard, _shared, canonical_address, decode
from portsentry_py.core.packet import ACK, DCCP, FIN, ICMP, ICMPV6, SCTP, SYN, TCP, UDP, UDPLITE, Packet, Quoted
from tests.support.build import (
    HOST,
    HOST6,
    MSS_OPTION,
    SCANNER,
    SCANNER6,
    cells,
    icmp_unreachable,
    line,
    no_deadline,
    syn,
    tcp,
    udp,
)

SYN_HEX = "b2010016fe73ffa70000000060020400cc7a0000020405b4"
CELLS = {"time": "1.0", "src": SCANNER, "dst": HOST, "proto": "6", "ttl": "64"}


# The order of the columns when the lines below were printed.
PRINTED = ("time", "src", "data", "dst", "proto", "ttl", "id", "offset", "more", "whole", "vlan", "iface")


def real(cells: str) -> str:
    """A line as tshark 4.0 printed it, with `|` for tabs, in the order of today's columns."""
    return line(**dict(zip(PRINTED, cells.split("|"), strict=False)))


# Printed by tshark 4.0.17 over captures of real traffic; some addresses are changed.
REAL = {
    "syn": f"1795164297.565614|  10.77.0.45|{SYN_HEX}|10.77.0.114 |6|59|0xdaef|0|0|||",
    "ipv6": f"1795165466.833776|  fd77::f001|{SYN_HEX}|fd77::53    |6|255|||||",
    "ipv6 options, then icmpv6": (
        "1795164646.341290|fe80::f4ff:f0ff:fefe:a175|8f00449f0000000204000000ff02000000000000"
        "0000000001fffea17504000000ff020000…|ff02::16    |0,58|1||||||"
    ),
    "ipv6 routing header": (
        "1332785210.013051|2001:db8:4:7::ffff|753000500000000000000000500220002f8a0000|2001:db8:1::2|43,6|64||||||"
    ),
    "ip in ip": (
        "1700000000.000000| 203.0.113.9|450000280000000040060000c6120001c6120002|192.0.2.10  |4|64|0x0000|0|0|||"
    ),
    "ip in ip, looked into": (
        "1795164273.617638| 10.77.0.175|b21a022a9907ed840000000060020400436e0000020405b4|10.77.0.159 "
        "|4,6|64,54|0xcfed,0xefe7|0,0|0,0|||"
    ),
    "6in4, looked into": (
        "1795164598.881325|    fd77::61|b43a0050882c583c00000000a002fd20fb980000020405a00402080abc15090900000"
        "000…|fd77::1a    |41,6|64,64|0xe75d|0|0|||"
    ),
    "gre, looked into": (
        "1442309936.514700|192.168.69.2|08004a4c0001030f61626364|192.168.69.10|47,1|63,128|0xd14e,0x2c6e|0,0|0,0|||"
    ),
    "qinq": ("1795164334.947290| 10.77.0.169|81110035004415fcc44001200001|10.77.0.100 |17|64|0x9d03|0|0||200|"),
    "first piece": "1795164297.565614|  10.77.0.45|b4410016fe73ffa7|10.77.0.114 |6|59|0xdaef|0|1|||",
    "middle piece": "1795164297.565657|  10.77.0.45|0000000060020400|10.77.0.114 |6|59|0xdaef|1|1|||",
    "last piece, whole": f"1795164297.565663|  10.77.0.45|{SYN_HEX}|10.77.0.114 |6|59|0xdaef|2|0|24||",
    "plain ack": (
        "1795164297.565663|  10.77.0.45|00500016fe73ffa700000001501004000000|10.77.0.114 |6|59|0xdaef|0|0|||"
    ),
    "icmp error": (
        "1795164392.421740| 10.77.0.176|0303144d0000000045000110b60000003011bd9a0a4d00f90a4d00b0bf48004300fcd"
        "782…|10.77.0.249 |1|64|0x03d3|0|0|||"
    ),
    "arp": "1795164392.421740|00:50:56:82:08:d1||00:50:56:82:2b:52||||||||",
    "nothing known": "1041342931.300000|            |67676767|            ||||||||",
    "no next header": (
        "808464432.999999|3030:3030:3030:3030:3030:3030:3030:3030||3030:3030:3030:3030:3030:3030:3030:3030"
        "|43,48|48||||||"
    ),
    "interface": f"1439753726.289699|198.51.100.123|{SYN_HEX}|192.168.1.139|6|52|0x0000|0|0|||en0",
}

# The same packets as tshark 3.6.2 and 4.0.17 print them, without time and addresses.
OLD_AND_NEW = {
    "syn": (f"{SYN_HEX}|TCP|64|0xffff (65535)|0|Not set", f"{SYN_HEX}|6|64|0xffff|0|0"),
    "qinq": (f"{SYN_HEX}|TCP|64|0x0007 (7)|0|Not set||100,200", f"{SYN_HEX}|6|64|0x0007|0|0||100,200"),
    "ip in ip": ("45000028|IPIP|64|0x0007 (7)|0|Not set", "45000028|4|64|0x0007|0|0"),
    "gre": ("00000800|Generic Routing Encapsulation|64|0x0007 (7)|0|Not set", "00000800|47|64|0x0007|0|0"),
    "authentication": (f"{SYN_HEX}|Authentication Header,TCP|64|0x0007 (7)|0|Not set", f"{SYN_HEX}|51,6|64|0x0007|0|0"),
    "first piece": (f"{SYN_HEX[:32]}|TCP|64|0x0032 (50)|0|Set", f"{SYN_HEX[:32]}|6|64|0x0032|0|1"),
    "middle piece": ("00000000|UDP|64|0x0033 (51)|24|Set", "00000000|17|64|0x0033|3|1"),
    "last piece, whole": (f"{SYN_HEX}|TCP|64|0x0032 (50)|16|Not set|24", f"{SYN_HEX}|6|64|0x0032|2|0|24"),
    "another protocol": ("|OSPF IGP|64|0x0007 (7)|0|Not set", "|89|64|0x0007|0|0"),
    "a protocol without a word": ("|253|64|0x0007 (7)|0|Not set", "|253|64|0x0007|0|0"),
}
OLD_AND_NEW_6 = {
    "syn": (f"{SYN_HEX}|TCP|61", f"{SYN_HEX}|6|61"),
    "6in6": ("60000000|IPv6|61", "60000000|41|61"),
    "6in6 behind an extension": ("60000000|Destination Options for IPv6,IPv6|61", "60000000|60,41|61"),
    "extensions": (
        f"{SYN_HEX}|IPv6 Hop-by-Hop Option,Destination Options for IPv6,Routing Header for IPv6,UDP|61",
        f"{SYN_HEX}|0,60,43,17|61",
    ),
    "whole in a fragment": (f"{SYN_HEX}|Fragment Header for IPv6,TCP|61||0|No", f"{SYN_HEX}|44,6|61||0|0"),
    "first piece": (f"{SYN_HEX[:32]}|Fragment Header for IPv6,TCP|61||0|Yes", f"{SYN_HEX[:32]}|44,6|61||0|1"),
    "last piece, whole": (f"{SYN_HEX}|Fragment Header for IPv6,TCP|61||2|No|24", f"{SYN_HEX}|44,6|61||2|0|24"),
    "nothing behind": ("|IPv6 Hop-by-Hop Option,No Next Header for IPv6|61", "|0,59|61"),
}


def packet_of(name: str) -> Packet:
    packet = decode(real(REAL[name]))
    assert isinstance(packet, Packet), packet
    return packet


def test_a_syn_line_is_read_field_by_field() -> None:
    packet = packet_of("syn")
    assert (packet.time_us, packet.src, packet.dst) == (1795164297565614, "10.77.0.45", "10.77.0.114")
    assert (packet.proto, packet.src_port, packet.dest_port) == (TCP, 0xB201, 22)
    assert (packet.flags, packet.seq, packet.ack, packet.window) == (SYN, 0xFE73FFA7, 0, 1024)
    assert (packet.header_bytes, packet.options) == (24, MSS_OPTION)
    assert (packet.ttl, packet.ip_id, packet.vlan, packet.in_iface) == (59, 0xDAEF, 0, "")
    assert not packet.is_whole


@pytest.mark.parametrize(
    ("name", "src", "proto", "dest_port"),
    [
        ("ipv6", "fd77::f001", TCP, 22),
        ("ipv6 routing header", "2001:db8:4:7::ffff", TCP, 80),
        ("qinq", "10.77.0.169", UDP, 53),
        ("ip in ip", SCANNER, 4, 0),
    ],
)
def test_what_is_behind_an_ip_header_and_its_extensions_counts(name: str, src: str, proto: int, dest_port: int) -> None:
    packet = packet_of(name)
    assert (packet.src, packet.proto, packet.dest_port) == (src, proto, dest_port)


@pytest.mark.parametrize("name", ["ip in ip, looked into", "6in4, looked into", "gre, looked into"])
def test_a_line_about_the_inside_of_a_tunnel_is_malformed(name: str) -> None:
    """Its addresses are those that anybody can put there."""
    assert decode(real(REAL[name])) is Discard.MALFORMED


@no_deadline
@given(st.lists(st.integers(0, 255), max_size=4))
def test_a_packet_has_one_protocol_beside_extension_headers(numbers: list[int]) -> None:
    listed = ",".join(map(str, numbers))
    packet = decode(line(**CELLS | {"data": SYN_HEX, "proto": listed}))
    uppers = [number for number in numbers if number not in {0, 43, 44, 51, 60}]
    if not numbers:
        assert packet is Discard.NOT_IP
    elif len(uppers) != 1:
        assert packet is Discard.MALFORMED
    else:
        assert isinstance(packet, Packet)
        assert packet.proto == uppers[0]


def test_the_innermost_vlan_and_the_interface_are_kept() -> None:
    assert packet_of("qinq").vlan == 200
    assert packet_of("interface").in_iface == "en0"


def test_an_extension_header_before_icmpv6_is_skipped() -> None:
    packet = packet_of("ipv6 options, then icmpv6")
    assert (packet.proto, packet.src_port, packet.quoted) == (ICMPV6, 143, None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("first piece", Discard.FRAGMENT),  # eight bytes
        ("middle piece", Discard.FRAGMENT),
        ("plain ack", Discard.ESTABLISHED),
        ("arp", Discard.NOT_IP),
        ("nothing known", Discard.NOT_IP),
    ],
)
def test_a_line_that_is_no_attempt_is_discarded_with_its_reason(name: str, reason: Discard) -> None:
    assert decode(real(REAL[name])) is reason


def test_a_reassembled_packet_counts_and_is_marked() -> None:
    packet = packet_of("last piece, whole")
    assert (packet.dest_port, packet.options, packet.is_whole) == (22, MSS_OPTION, True)


# The bytes that a first piece needs: the ports, and of TCP all up to the window.
LEAST_BYTES = [(TCP, 16), (UDP, 4), (UDPLITE, 4), (DCCP, 4)]


@pytest.mark.parametrize(("proto", "least"), LEAST_BYTES)
@pytest.mark.parametrize("numbers", ["{}", "44,{}"], ids=["ipv4", "ipv6"])
def test_a_first_piece_that_tells_the_probe_is_a_packet(proto: int, least: int, numbers: str) -> None:
    cells = {**CELLS, "proto": numbers.format(proto), "offset": "0", "more": "1"}
    packet = decode(line(**cells, data=SYN_HEX[: 2 * least]))
    assert isinstance(packet, Packet)
    assert (packet.src_port, packet.dest_port, packet.is_whole) == (0xB201, 22, False)
    assert (packet.flags, packet.options) == (SYN if proto == TCP else 0, b"")
    assert decode(line(**cells, data=SYN_HEX[: 2 * (least - 1)])) is Discard.FRAGMENT
    assert decode(line(**{**cells, "offset": "2"}, data=SYN_HEX)) is Discard.FRAGMENT


@pytest.mark.parametrize("proto", [ICMP, ICMPV6, SCTP, 4, 47, 89])
def test_a_first_piece_of_another_protocol_waits_for_the_whole(proto: int) -> None:
    cells = {**CELLS, "proto": str(proto), "data": SYN_HEX * 10, "offset": "0", "more": "1"}
    assert decode(line(**cells)) is Discard.FRAGMENT
    whole = decode(line(**{**cells, "offset": "2", "more": "0"}, whole="240"))
    assert isinstance(whole, Packet)
    assert not whole.is_whole


def test_a_first_piece_of_a_plain_ack_is_established() -> None:
    ack = tcp(SCANNER, HOST, 40_000, 22, ACK).payload.hex()
    assert decode(line(**CELLS, data=ack, offset="0", more="1")) is Discard.ESTABLISHED


@pytest.mark.parametrize(("unset", "set_"), [("0", "1"), ("False", "True"), ("Not set", "Set"), ("No", "Yes")])
def test_every_version_of_a_flag_is_read(unset: str, set_: str) -> None:
    cells = {**CELLS, "data": SYN_HEX[:16]}
    assert decode(line(**cells, offset="0", more=unset)) is Discard.MALFORMED, "too short to be a packet"
    assert decode(line(**cells, offset="0", more=set_)) is Discard.FRAGMENT
    assert decode(line(**cells, offset=f"0,{set_}", more=unset)) is Discard.FRAGMENT, "a fragment in a fragment"


@pytest.mark.parametrize(
    ("src", "dst", "old", "new"),
    [
        *((SCANNER, HOST, *both) for both in OLD_AND_NEW.values()),
        *((SCANNER6, HOST6, *both) for both in OLD_AND_NEW_6.values()),
    ],
)
def test_versions_that_print_words_mean_the_same(src: str, dst: str, old: str, new: str) -> None:
    def decoded(cells: str) -> Packet | Discard:
        data, others = cells.split("|", 1)
        return decode(real(f"1795164297.565614|{src}|{data}|{dst} |{others}"))

    assert decoded(old) == decoded(new)
    assert decoded(new) is not Discard.MALFORMED


def test_an_icmp_error_is_read_with_its_quotation() -> None:
    packet = packet_of("icmp error")
    assert (packet.src, packet.src_port, packet.dest_port) == ("10.77.0.176", 3, 3)
    assert packet.quoted == Quoted(UDP, "10.77.0.249", "10.77.0.176", 0xBF48, 67)


def test_a_short_icmpv6_error_has_at_least_the_source() -> None:
    quoted = icmp_unreachable(udp(SCANNER6, 161)[0], code=4).packet.quoted
    assert quoted is not None
    assert (quoted.proto, quoted.src) == (UDP, SCANNER6)


def test_a_long_icmpv6_error_is_read_with_its_quotation() -> None:
    """Newer versions of tshark show more bytes."""
    error = icmp_unreachable(udp(SCANNER6, 161)[0], code=4)
    shown = {"time": "1.0", "src": HOST6, "dst": SCANNER6, "proto": "58", "ttl": "64"}
    for size in (52, len(error.payload)):
        packet = decode(line(data=error.payload[:size].hex(), **shown))
        assert isinstance(packet, Packet)
        assert packet.quoted == Quoted(UDP, SCANNER6, HOST6, 40_000, 161)
    packet = decode(line(data=error.payload[:51].hex(), **shown))
    assert isinstance(packet, Packet)
    assert packet.quoted == Quoted(UDP, SCANNER6, "", 0, 0)


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("eth0", "eth0"),
        ("eth0,eth1", "eth1"),
        ("br-lan.7@if2", "br-lan.7@if2"),
        ("", ""),
        ('eth0","verdict":"ban', ""),
        ("two words", ""),
        ("\N{SNOWMAN}", ""),
        ("x" * 65, ""),
    ],
)
def test_an_interface_name_that_no_kernel_accepts_is_left_out(name: str, reported: str) -> None:
    packet = decode(line(**CELLS, data=SYN_HEX, iface=name))
    assert isinstance(packet, Packet)
    assert packet.in_iface == reported


def test_a_quotation_that_is_too_short_for_ports_has_none() -> None:
    error = icmp_unreachable(udp(SCANNER, 161)[0])
    cut = line(time="1.0", src=HOST, data=error.payload[:28].hex(), dst=SCANNER, proto="1", ttl="64")
    packet = decode(cut)
    assert isinstance(packet, Packet)
    assert packet.quoted == Quoted(UDP, SCANNER, HOST, 0, 0)
    headless = line(time="1.0", src=HOST, data=error.payload[:20].hex(), dst=SCANNER, proto="1", ttl="64")
    packet = decode(headless)
    assert isinstance(packet, Packet)
    assert packet.quoted is None


def test_an_echo_request_quotes_nothing() -> None:
    packet = decode(line(time="1.0", src=SCANNER, data="08001234" + "00" * 30, dst=HOST, proto="1", ttl="64"))
    assert isinstance(packet, Packet)
    assert (packet.src_port, packet.quoted) == (8, None)


def test_an_sctp_packet_has_the_type_of_its_first_chunk() -> None:
    data = "c350008400000000000000000100001400000001"
    packet = decode(line(time="1.0", src=SCANNER, data=data, dst=HOST, proto=str(SCTP), ttl="64"))
    assert isinstance(packet, Packet)
    assert (packet.src_port, packet.dest_port, packet.flags) == (50000, 132, 1)


@pytest.mark.parametrize("proto", [UDPLITE, DCCP])
def test_udp_lite_and_dccp_have_ports(proto: int) -> None:
    packet = decode(line(**{**CELLS, "proto": str(proto), "data": "c3500035"}))
    assert isinstance(packet, Packet)
    assert (packet.proto, packet.src_port, packet.dest_port, packet.flags) == (proto, 50_000, 53, 0)


def test_another_protocol_is_a_packet_without_ports() -> None:
    packet = decode(line(time="1.0", src=SCANNER, dst=HOST, proto="89", ttl="1"))
    assert isinstance(packet, Packet)
    assert (packet.proto, packet.src_port, packet.dest_port) == (89, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"time": "-1.0"},
        {"time": "99999999999999.0"},
        {"time": ""},
        {"src": "00:50:56:82:08:d1"},
        {"src": ""},
        {"dst": "300.1.1.1"},
        {"data": ""},
        {"data": "zz"},
        {"data": SYN_HEX[:24]},
        {"data": "b2010016fe73ffa70000000040020400cc7a0000"},
        {"proto": "six"},
        {"proto": "60"},
        {"proto": "17", "data": "00"},
        {"proto": "132", "data": "00350035"},
        {"proto": "1", "data": ""},
        {"ttl": "x"},
        {"id": "x"},
        {"vlan": "x"},
        {"time": "1.-5"},
        {"time": "1" * 50},
        {"time": "253402214400.000001"},
        {"src": "fe80::1%eth0"},
        {"proto": "256"},
        {"proto": "-6"},
        {"proto": "1_0"},
        {"ttl": "256"},
        {"vlan": "4096"},
        {"vlan": "-1"},
        {"ttl": "64,54"},
        {"proto": "4,6"},
        {"proto": "6,6"},
        {"proto": "0,60"},
        {"proto": "136", "data": "0035"},
    ],
)
def test_a_line_that_cannot_be_read_is_malformed(change: dict[str, str]) -> None:
    cells = {**CELLS, "data": SYN_HEX, "id": "0x1"}
    assert isinstance(decode(line(**cells)), Packet)
    assert decode(line(**{**cells, **change})) is Discard.MALFORMED


def test_the_latest_time_and_the_largest_numbers_are_read() -> None:
    largest = {"time": "253402214400.000000", "ttl": "255", "vlan": "4095", "proto": "255", "id": "0xffff"}
    packet = decode(line(**CELLS | largest))
    assert isinstance(packet, Packet)
    assert (packet.time_us, packet.ttl, packet.vlan, packet.proto) == (MAX_TIME_US, 255, 4095, 255)
    assert packet.ip_id == 0xFFFF
    packet = decode(line(**CELLS | {"ttl": "", "data": SYN_HEX}))
    assert isinstance(packet, Packet)
    assert packet.ttl == 0


def test_very_long_cells_are_read_and_not_cached() -> None:
    before = _shared.cache_info().currsize
    packet = decode(line(**{**CELLS, "data": SYN_HEX, "proto": "60," * 300 + "6"}))
    assert isinstance(packet, Packet)
    assert packet.proto == TCP
    assert _shared.cache_info().currsize == before


@pytest.mark.parametrize("name", REAL)
def test_a_line_that_was_split_before_is_read_alike(name: str) -> None:
    one = real(REAL[name])
    assert decode(one, split(one)[1]) == decode(one)


def test_a_blank_identification_is_none() -> None:
    packet = decode(line(**CELLS, data=SYN_HEX, id=" " * 6))
    assert isinstance(packet, Packet)
    assert packet.ip_id == 0


def test_a_line_with_too_few_columns_is_malformed() -> None:
    assert decode("") is Discard.MALFORMED
    assert decode("1.0\t192.0.2.1") is Discard.MALFORMED


@pytest.mark.parametrize("flags", [SYN, FIN, FIN | ACK, SYN | ACK, 0, 0x29, 0xC0])
def test_only_plain_acks_and_data_count_as_established(flags: int) -> None:
    assert tcp(SCANNER, HOST, 40_000, 22, flags).packet.flags == flags


def test_the_urgent_acks_of_a_session_are_established_too() -> None:
    assert decode(tcp(SCANNER, HOST, 40_000, 22, ACK | 0x28).line) is Discard.ESTABLISHED


@pytest.mark.parametrize(
    ("given_as", "canonical"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("::ffff:c000:207", "::ffff:192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
    ],
)
def test_an_address_has_one_spelling(given_as: str, canonical: str) -> None:
    assert canonical_address(given_as) == canonical


def test_text_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="not-an-address"):
        canonical_address("not-an-address")


def test_a_builder_prints_what_tshark_prints() -> None:
    """The other tests rely on this: `REAL["syn"]` and the builder differ only in their values."""
    ours, theirs = (cells(one) for one in (syn("10.77.0.45", 22)[0].line, real(REAL["syn"])))
    assert [bool(cell) for cell in ours.values()] == [bool(cell.strip()) for cell in theirs.values()]
    assert syn(SCANNER6, 22)[0].packet.dst == HOST6


@no_deadline
@given(st.text() | st.lists(st.text(alphabet="0123456789abcdef:.,x|… -"), max_size=14).map("\t".join))
def test_no_text_makes_it_raise(text: str) -> None:
    assert isinstance(decode(text), Packet | Discard)


@no_deadline
@given(
    st.sampled_from(sorted(REAL)),
    st.lists(st.tuples(st.integers(0, 11), st.text(max_size=40) | st.sampled_from(["6", "1", "58", "132"]))),
)
def test_no_mangled_cell_makes_it_raise(name: str, changes: list[tuple[int, str]]) -> None:
    cells = real(REAL[name]).split("\t")
    for at, text in changes:
        cells[at] = text
    assert isinstance(decode("\t".join(cells)), Packet | Discard)


@no_deadline
@given(st.sampled_from(sorted(REAL)), st.data())
def test_no_mangled_character_makes_it_raise(name: str, data: st.DataObject) -> None:
    text = real(REAL[name])
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert isinstance(decode(text[:start] + data.draw(st.text(max_size=5)) + text[end:]), Packet | Discard)


@no_deadline
@given(st.sampled_from([1, 6, 17, 33, 58, 132, 136]), st.binary(max_size=60), st.sampled_from(["0", "1"]))
def test_no_payload_makes_it_raise(proto: int, payload: bytes, more: str) -> None:
    packet = decode(line(**{**CELLS, "data": payload.hex(), "proto": str(proto), "more": more}))
    if more == "1":
        assert packet is not Discard.MALFORMED or len(payload) >= dict(LEAST_BYTES)[proto]
    if isinstance(packet, Packet):
        assert (packet.src, packet.dst, packet.proto) == (SCANNER, HOST, proto)
        assert 0 <= packet.src_port <= 65_535
        assert 0 <= packet.dest_port <= 65_535


@given(
    st.lists(st.sampled_from(("0", "1", "ff", "00a", "2001", "ffff", "", "1.2.3.4", "12345")), min_size=2, max_size=9)
)
def test_an_ipv6_address_has_the_spelling_of_its_object(groups: list[str]) -> None:
    text = ":".join(groups)
    try:
        address = IPv6Address(text)
    except ValueError:
        with pytest.raises(ValueError, match=r".*"):
            canonical_address(text)
        return
    mapped = address.ipv4_mapped
    assert canonical_address(text) == (f"::ffff:{mapped}" if mapped else str(address))
