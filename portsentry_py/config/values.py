"""How the configuration file writes ports, networks and texts.

A reader takes what YAML holds and returns the value; it raises ValueError with the problem in words.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from portsentry_py.text import printable

OFF_WORD = "off"
_MAX_PORT = 65_535
_MAX_QUOTED = 60
_RANGE = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", re.ASCII)
_LISTEN = re.compile(r"(?:([0-9.]+):|\[([0-9a-fA-F:.]+)\]:)?([0-9]{1,5})", re.ASCII)
_SYSLOG = re.compile(r"(?:udp|tcp)://(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})|unix:/[^\0]+", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Read:
    """The annotation of a type that YAML does not have; `form` is what the operator writes."""

    read: Callable[[object], object]
    form: str

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[object], Any]) -> Any:
        """The protocol of pydantic: run the reader first. It needs no import, because a schema is a dict."""
        reader = {"type": "no-info", "function": self.read}
        return {"type": "function-before", "function": reader, "schema": handler(source)}


def shortened(text: str, most: int = _MAX_QUOTED) -> str:
    """The text for a sentence: on one line, printable, not too long."""
    text = printable(text[: most + 1])
    return text if len(text) <= most else f"{text[:most]}…"


def quoted(value: object) -> str:
    """A value as YAML holds it, for a sentence."""
    try:
        return shortened(repr(value))
    except ValueError:  # sys.set_int_max_str_digits
        return "a number of thousands of digits"


def read_ports(value: object) -> frozenset[int]:
    """A port, a range as text, or a list of both."""
    ranges = [_port_range(item) for item in (value if isinstance(value, list) else [value])]
    ports: set[int] = set()
    free = 0
    # Each port is added once: a list of many overlapping ranges would take minutes otherwise.
    for one in sorted(ranges, key=lambda found: found.start):
        ports.update(range(max(free, one.start), one.stop))
        free = max(free, one.stop)
    return frozenset(ports)


def _port_range(item: object) -> range:
    found = _RANGE.fullmatch(item if isinstance(item, str) else quoted(item))
    if found is None:
        raise ValueError(f"{quoted(item)} is neither a port nor a range such as 8000-8010")
    low, high = int(found[1]), int(found[2] or found[1])
    if low > high:
        raise ValueError(f"the port range {low}-{high} is upside down; write {high}-{low}")
    if high > _MAX_PORT:
        raise ValueError(f"port {high} is too large; ports end at {_MAX_PORT}")
    return range(low, high + 1)


def read_network(value: object) -> IPv4Network | IPv6Network:
    """An address or a network, as text."""
    # A number is no address: YAML reads 2001:20 as a number in base 60, and 5 would be 0.0.0.5.
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic collects ValueError alone
            f"{quoted(value)} is not an IP address or network; put it in quotes if it is one"
        )
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"{quoted(value)} is not an IP address or network{_hint(value)}") from error


def _hint(network: str) -> str:
    with suppress(ValueError):
        return f" (bits are set after the prefix); write {ip_network(network, strict=False)}"
    return ""


def _list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> object:
    """No file, interface or message holds what YAML can write as an escape: NUL, half of a character."""
    if isinstance(value, str) and ("\0" in value or _SURROGATE.search(value)):
        raise ValueError(f"{quoted(value)} has a character that no file name and no message may have")
    return value


def _off(value: object) -> object:
    """YAML reads `off` as false."""
    return OFF_WORD if value is False else value


def _file_or_off(value: object) -> object:
    if isinstance(value, str) and (not Path(value).name or "\0" in value):
        raise ValueError(f"{value!r} is not the path of a file; name one, or write off")
    return _off(value)


def _listen_or_off(value: object) -> object:
    if value is False or value == OFF_WORD:
        return OFF_WORD
    found = _LISTEN.fullmatch(str(value))
    with suppress(ValueError):
        if found and 0 < int(found[3]) <= _MAX_PORT:
            if found[2]:
                return f"[{IPv6Address(found[2])}]:{found[3]}"
            return f"{IPv4Address(found[1] or '127.0.0.1')}:{found[3]}"
    raise ValueError(f"{quoted(value)} is no address and port; write 127.0.0.1:9797, [::1]:9797, a port alone, or off")


def _syslog_or_off(value: object) -> object:
    if value is False or value == OFF_WORD:
        return OFF_WORD
    found = _SYSLOG.fullmatch(value) if isinstance(value, str) else None
    if found is None or (found[1] and not 0 < int(found[1]) <= _MAX_PORT):
        forms = "udp://HOST:514, tcp://HOST:601, unix:/PATH"
        raise ValueError(f"{quoted(value)} is no syslog server; write one of {forms}, or off")
    return value


OFF = Read(_off, "")
"""For words of which one is `off`."""
Network = IPv4Network | IPv6Network
Networks = Annotated[
    tuple[Annotated[Network, Read(read_network, "")], ...], Read(_list, "a list of addresses and networks")
]
Ports = Annotated[frozenset[int], Read(read_ports, "a list of ports and ranges")]
Text = Annotated[str, Read(_text, "text")]
Texts = Annotated[tuple[Text, ...], Read(_list, "a list of names")]
FileOrOff = Annotated[str, Read(_file_or_off, "a path or `off`")]
TableOrOff = Annotated[str, Read(_file_or_off, "a path, `shipped` or `off`")]
ListenOrOff = Annotated[str, Read(_listen_or_off, "an address and port, a port or `off`")]
SyslogOrOff = Annotated[str, Read(_syslog_or_off, "`udp://HOST:PORT`, `tcp://HOST:PORT`, `unix:/PATH` or `off`")]
