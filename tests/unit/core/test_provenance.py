"""In a capture file, a packet in our name counts only if it may have left this host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.provenance import Provenance
from tests.support.build import HOST, SCANNER, no_deadline

OURS, ROUTER, STRANGER = "02:00:00:00:00:01", "02:00:00:00:00:fe", "02:00:00:00:00:66"


def line(src: str, dst: str, link_src: str = "", link_dst: str = "", direction: str = "") -> str:
    """A line with the link columns, an empty address padded as tshark does it."""
    link = (link_src or " " * 12, direction, link_dst or " " * 12)
    return "\t".join(["1700000000.0", src, "", dst, *[""] * 8, *link])


def packet(src: str, dst: str) -> str:
    return "\t".join(["1700000000.0", src, "", dst, *[""] * 8])


IN = line(SCANNER, HOST, ROUTER, OURS)
OUT = line(HOST, SCANNER, OURS, ROUTER)


def left(*lines: str) -> tuple[int, int]:
    """Lines that are believed, and those that are not."""
    provenance = Provenance([HOST])
    return len(list(provenance.believed(lines))), provenance.forged


def test_the_link_columns_are_taken_off() -> None:
    assert list(Provenance([HOST]).believed([IN, OUT])) == [packet(SCANNER, HOST), packet(HOST, SCANNER)]


def test_a_line_without_link_columns_passes() -> None:
    assert list(Provenance([HOST]).believed(["no", "a\tb"])) == ["no", "a\tb"]


@pytest.mark.parametrize("link", [ROUTER, STRANGER])
def test_a_frame_in_our_name_with_the_link_address_of_another_is_left_out(link: str) -> None:
    assert left(IN, OUT, line(HOST, SCANNER, link, OURS)) == (2, 1)


@pytest.mark.parametrize("fixed", [(OURS, OURS), (OURS, ROUTER), ("", "")], ids=["one", "one way", "none"])
def test_link_addresses_that_are_the_same_everywhere_say_nothing(fixed: tuple[str, str]) -> None:
    both = [line(SCANNER, HOST, *fixed), line(HOST, SCANNER, *fixed)]
    assert left(*both, *both, *both) == (6, 0)


@pytest.mark.parametrize(("outgoing", "came"), [("4", "0"), ("4", "1"), ("0x02", "0x01"), ("4,0x02", "0,0x01")])
def test_a_frame_in_our_name_that_came_in_is_left_out_once_one_went_out(outgoing: str, came: str) -> None:
    assert left(line(HOST, SCANNER, direction=came)) == (1, 0)
    assert left(line(HOST, SCANNER, direction=outgoing), line(HOST, SCANNER, direction=came)) == (1, 1)


def test_packets_between_others_and_of_others_are_not_judged() -> None:
    others = line("192.0.2.77", SCANNER, STRANGER, ROUTER)
    assert left(IN, OUT, others, line(SCANNER, "192.0.2.77", STRANGER, ROUTER)) == (4, 0)


def test_the_link_addresses_are_bounded() -> None:
    provenance = Provenance([HOST])
    list(provenance.believed(line(SCANNER, HOST, f"a{number}", f"b{number}") for number in range(3000)))
    assert max(len(provenance._own_links), len(provenance._neighbours)) == 1024


frames = st.builds(
    line,
    st.sampled_from((HOST, SCANNER)),
    st.sampled_from((HOST, SCANNER)),
    st.sampled_from((OURS, ROUTER, STRANGER, "")),
    st.sampled_from((OURS, ROUTER, STRANGER, "")),
    st.sampled_from(("", "", "0", "4", "4,0x02")),
)


@no_deadline
@given(st.lists(st.one_of(frames, st.sampled_from((IN, OUT, "", "\n", "a\tb"))), max_size=40))
def test_a_frame_like_one_that_was_believed_is_judged_as_if_it_were_the_first(lines: list[str]) -> None:
    at_once, one_by_one = Provenance([HOST]), Provenance([HOST])
    judged = [believed for one in lines for believed in one_by_one.believed([one])]  # nothing is remembered of links
    assert list(at_once.believed(lines)) == judged
    assert at_once.forged == one_by_one.forged
