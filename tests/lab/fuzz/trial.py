"""What the fuzzer calls, and how bytes are changed where nothing is known of them."""

from collections.abc import Callable
from random import Random

Raw = Callable[[bytes], bytes]
"""Makes other bytes of some."""


class Trial:
    """Inputs are tried one after the other, and do not depend on each other."""

    def __init__(self, check: Callable[[bytes], None]) -> None:
        self._check = check
        self._last = b""

    def __call__(self, data: bytes) -> None:
        self._last = data
        self._check(data)

    def reproduction(self) -> bytes:
        """An input that, by itself, fails as the last one did."""
        return self._last


_NUMBERS = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\x01", b"\xff\xff")
# Escape sequences, C1 and bidirectional controls, markup, half of a character, line ends of all kinds.
CONTROLS = ("\x1b[31m", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\u2066", "\0", "\r", "\n", "\u2028", "[red]", ":a:")


def changed(data: bytes, random: Random) -> bytes:
    """Some bytes replaced, removed, repeated or put in."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(found) + 1)
        to = min(len(found), at + random.choice((1, 1, 2, 4, 16, 64)))
        kind = random.randrange(6)
        if kind == 0:
            found[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            del found[at:to]
        elif kind == 2:
            found[at:at] = found[at:to] * random.choice((1, 2, 8))
        elif kind == 3:
            number = random.choice(_NUMBERS)
            found[at : at + len(number)] = number
        elif kind == 4:
            found[at:at] = random.choice(CONTROLS).encode()
        else:
            del found[at:]
    return bytes(found)
