"""Rows of nmap: its types, its evasions, and the commands of other people's tests."""

from collections.abc import Iterator

from tests.lab.attacks.parties import FOUR
from tests.lab.attacks.tape import Tape
from tests.lab.attacks.wire.upper import syn
from tests.lab.evasion.row import PORTS, Expected, Party, Row

_TYPES = ("-sS", "-sT", "-sA", "-sW", "-sM", "-sF", "-sN", "-sX", "-sU", "-sY", "-sZ", "-sO")
_MTUS = (8, 16, 24, 64, 128, 512)
_TWINS = "Spoofed twins send the same probes: each of them may be the scanner, and a ban may hit an innocent."
_ONE_QUESTION = "Not a scan: one question to one host is what any visitor asks."
_PORTS_OF = {"-sO": "1-40", "-sU": "2000-2039"}


_EVASIONS = "nmap's evasions"
_OTHER_EVASIONS = (
    "-sS --badsum",
    "-sU --badsum",
    "-sS --ip-options R",
    "-sS --ip-options T",
    "-sS --ip-options U",
    "-sS --ttl 3",
    "-sS --ttl 255",
    "-sS --spoof-mac 02:00:00:00:99:01",
    "-sS --spoof-mac Cisco",
    "-sS --send-ip",
    "-sS --randomize-hosts",
    "-sS -r",
    "-sS --scan-delay 150ms",
    "-sS --max-rate 8",
    "-sS --min-rate 2000",
    "-sS --data-length 25",
    "-sS --data-string hello",
    "-sS --max-parallelism 1",
    "-sY --adler32",
    "-sT --max-parallelism 1",
)
_FLAGS = ("SYNFIN", "SYNRST", "SYNURG", "SYNPSH", "SYNECECWR", "URGPSH", "FINURG", "ECE", "SYNFINRSTPSHACKURG")


def _row(
    group: str, words: str, *, ports: str = PORTS, family: int = 4, expected: Expected = "ban", why: str = ""
) -> Row:
    typed = " ".join(filter(None, ("nmap", "-6" if family == 6 else "", words, f"-p{ports}" if ports else "")))
    return Row(group, typed, lambda one: one.nmap(words, ports=ports), family=family, expected=expected, why=why)


def _decoys(words: str, first: int, count: int) -> Row:
    decoys = ",".join(f"198.19.{200 + first + nth}.66" for nth in range(count))

    def live(one: Party) -> None:
        one.nmap(f"{words} -D {decoys},ME")

    return Row(_EVASIONS, f"nmap {words} -D {count} others,ME -p{PORTS}", live, expected="watch", why=_TWINS)


def rows() -> Iterator[Row]:
    """All of them."""
    for family in (4, 6):
        for kind in _TYPES:
            yield _row("nmap's types", kind, ports=_PORTS_OF.get(kind, PORTS), family=family)
    yield from _in_pieces()
    yield from _from_ports()
    yield from (_decoys("-sS", 0, 1), _decoys("-sS", 1, 3), _decoys("-sS", 4, 10), _decoys("-sF", 14, 3))
    for words in _OTHER_EVASIONS:
        yield _row(_EVASIONS, words)
    for words in ("--data-length 64", "--ttl 5", "--badsum", "--scan-delay 150ms"):
        yield _row(_EVASIONS, f"-sS {words}", family=6)
    for flags in _FLAGS:
        yield _row(_EVASIONS, f"-sS --scanflags {flags}")
    for kind, words in (("-sF", "PSH"), ("-sA", "PSHACK"), ("-sM", "FINACKURG")):
        yield _row(_EVASIONS, f"{kind} --scanflags {words}")
    yield from _others_tests()


def _in_pieces() -> Iterator[Row]:
    for kind in ("-sS", "-sF", "-sN", "-sX", "-sA", "-sM", "-sW"):
        yield _row(_EVASIONS, f"{kind} -f")
    yield _row(_EVASIONS, "-sS -f -f --data-length 300")
    for size in _MTUS:
        yield _row(_EVASIONS, f"-sS --mtu {size} --data-length 600")
    for kind in ("-sF", "-sU"):
        yield _row(_EVASIONS, f"{kind} --mtu 128 --data-length 600", ports=_PORTS_OF.get(kind, PORTS))


def _from_ports() -> Iterator[Row]:
    for number in (53, 80, 443, 5353):
        yield _row(_EVASIONS, f"-sS -g {number}")
        yield _row(_EVASIONS, f"-sU -g {number}", ports=_PORTS_OF["-sU"])
        yield _row(_EVASIONS, f"-sS -g {number}", family=6)
    yield _row(_EVASIONS, "-sF -g 53")
    yield _row(_EVASIONS, "-sA -g 80", ports="2000-2039")


def _others_tests() -> Iterator[Row]:
    """The techniques that OpenSnitch's page on its port scan detection lists as its tests; the ports are ours."""
    group = "OpenSnitch's tests"
    for words in (
        *("-sS", "-sT", "-sF", "-sN", "-sX", "-sM", "-sA", "-sW"),
        *("-sS --scanflags SYNFIN", "-sS --scanflags URGPSHFIN", "-sS -f", "-O"),
    ):
        yield _row(group, words, ports="700-759")
    yield _row(group, "-sS -D 198.19.190.66,ME", ports="700-759", expected="watch", why=_TWINS)
    yield _row(group, "-sU", ports="3000-3039")
    yield _row(group, "-sO", ports="1-50")
    yield _row(group, "-sY", ports="700-759")
    yield Row(group, "nmap -sS -T1 -p700-759, in simulated time", replayed=_sneaky)
    for words in ("-sS", "-sF", "-sX"):
        yield _row(group, words, ports="700-759", family=6)
    yield _row(group, "-sU", ports="3000-3039", family=6)
    yield _row(group, "-sT", ports="750", expected="unseen", why=_ONE_QUESTION)
    yield _row(group, "-sT", ports="750", family=6, expected="unseen", why=_ONE_QUESTION)


def _sneaky(tape: Tape) -> None:
    """Nmap's -T1 waits for 15 seconds after each probe."""
    for port in range(700, 760):
        tape.scan(syn(FOUR.attacker, FOUR.victim, port), every=15)
