"""The suite itself: every attack has a name and an expectation, and its packets are what they should be."""

import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.lab.attacks import report
from tests.lab.attacks.attack import Observed
from tests.lab.attacks.classes.common import syns
from tests.lab.attacks.everything import ATTACKS
from tests.lab.attacks.expected import EXPECTED, expected
from tests.lab.attacks.parties import FAMILIES, FOUR, SIX, Family, role
from tests.lab.attacks.quick import QUICK
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.ip import Packet
from tests.lab.attacks.wire.pieces import fragments
from tests.lab.attacks.wire.tunnels import TUNNELS
from tests.lab.attacks.wire.upper import SYN, echo, icmp, syn, tcp, udp, unreachable
from tests.support.needs import require_tool

# What tshark cannot open, with its own settings: no header says what is inside.
_SEALED = {"l2tp3", "minimal", "esp-null", "esp-in-udp", "fou", "amt"}
_SEALED_V4 = {"teredo"}


def _read(path: Path, *words: str) -> list[str]:
    done = subprocess.run(
        [require_tool("tshark"), "-n", "-r", path, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_each_attack_has_a_name_of_its_own_and_an_expectation() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    for attack in ATTACKS:
        assert expected(attack)
        assert attack.gain.endswith("."), attack.name


@pytest.mark.parametrize("pattern", [*EXPECTED, *QUICK])
def test_each_pattern_is_about_an_attack(pattern: str) -> None:
    assert [attack.name for attack in ATTACKS if fnmatchcase(attack.name, pattern)]


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
def test_every_tunnel_can_be_opened(tmp_path: Path, family: Family) -> None:
    """Else an attack would be harmless because its packets are wrong."""
    tape = Tape()
    opened = [
        name
        for name in TUNNELS
        if name not in _SEALED and not (family is FOUR and name in _SEALED_V4) and "pieces" not in name
    ]
    inner = syn(family.stranger, family.victim, 600)
    for name in opened:
        tape.send(*TUNNELS[name](inner, family.attacker, family.victim))
    tape.write(tmp_path / "tunnels.pcap")

    flags = _read(tmp_path / "tunnels.pcap", "-Y", "tcp.dstport == 600", "-T", "fields", "-e", "tcp.flags")

    # The victim's ICMP errors quote some of them: these do not count.
    probes = [line for line in flags if line.split(",")[0] == "0x0002"]
    assert len(probes) >= len(opened)


def _checksummed() -> Iterator[Packet]:
    for family in FAMILIES:
        ends = (family.attacker, family.victim)
        yield from (syn(*ends, 600), tcp(*ends, 1, 2, SYN, data=bytes(33)), udp(*ends, 1, 2), echo(*ends))
        yield unreachable(udp(*ends, 1, 2))
        yield icmp(*ends, 200, 0, bytes(4))


def test_checksums_are_right(tmp_path: Path) -> None:
    tape = Tape()
    tape.hear(*_checksummed())
    tape.write(tmp_path / "sums.pcap")
    checked = ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")
    options = [word for name in checked for word in ("-o", f"{name}:TRUE")]

    wrong = _read(tmp_path / "sums.pcap", *options, "-Y", '_ws.expert.message contains "Bad checksum"')

    assert wrong == []


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("size", [8, 24, 128])
def test_pieces_make_a_whole_again(tmp_path: Path, family: Family, size: int) -> None:
    tape = Tape()
    whole = tcp(family.attacker, family.victim, 40_000, 600, SYN, data=bytes(400))
    tape.send(*fragments(whole, size)[::-1])
    tape.write(tmp_path / "pieces.pcap")

    assert _read(tmp_path / "pieces.pcap", "-T", "fields", "-e", "tcp.len")[-1] == "400"


def test_roles_are_told_apart() -> None:
    assert role(FOUR.attacker) == role(SIX.attacker) == role("2001:db8:bad:7::/64") == "attacker"
    assert role(FOUR.victim) == role("2001:db8:113::1") == "victim"
    assert role(FOUR.stranger) == role("10.1.2.5") == role("64:ff9b::/64") == role(FOUR.neighbour) == "innocent"


def test_attacks_with_one_outcome_share_a_row() -> None:
    nothing = Observed([], 100, {"normal": frozenset(), "strict": frozenset()})
    attacks = [attack for attack in ATTACKS if attack.name.startswith("tunnel-teach-gre")]
    rows = [report.row(attack, nothing) for attack in attacks]

    page = report.markdown({"tunnels": rows})

    assert page.count("| `tunnel-teach-gre") == 1
    assert f"| tunnels | {len(rows)} | 0 |" in page


def test_the_attacker_pays_for_what_it_prepares_alone() -> None:
    tape = Tape()
    tape.send(*syns(FOUR.attacker, FOUR.victim, range(600, 603)))
    tape.scan(*syns(FOUR.attacker, FOUR.victim))

    assert (len(tape.sent), tape.probes) == (3, 100)
