"""Ports, networks and texts as the configuration file writes them."""

from ipaddress import ip_network

import pytest

from portsentry_py.config import loader
from portsentry_py.config.values import quoted, shortened
from portsentry_py.errors import ConfigError


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loader.parse(text, "file")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("53", {53}),
        ("[80, '8000-8002']", {80, 8000, 8001, 8002}),
        ("['7 - 9', 8, '9-10', 22]", {7, 8, 9, 10, 22}),
        ("[]", set()),
        (f"[{', '.join(['0-65535', '22', '20-30'] * 5_000)}]", set(range(65_536))),
    ],
    ids=["one", "a list", "overlaps", "none", "thousands of overlaps"],
)
def test_ports_are_numbers_and_ranges(written: str, ports: set[int]) -> None:
    assert loader.parse(f"served: {{tcp: {written}}}").served.tcp == ports


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("'9-5'", "the port range 9-5 is upside down; write 5-9"),
        ("70000", "port 70000 is too large; ports end at 65535"),
        ("http", "'http' is neither a port nor a range such as 8000-8010"),
        ("true", "True is neither a port nor a range such as 8000-8010"),
        ("-5", "-5 is neither a port nor a range such as 8000-8010"),
    ],
)
def test_a_wrong_port_is_reported(item: str, reason: str) -> None:
    assert problem(f"served:\n  tcp: [80, {item}]") == f"file:2: served.tcp: {reason}."


def test_networks_are_addresses_and_prefixes() -> None:
    settings = loader.parse("home: [192.0.2.0/24, '2001:db8::/32']\nignore: 198.51.100.7")
    assert settings.home == (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert settings.ignore == (ip_network("198.51.100.7/32"),)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("192.0.2.300", "'192.0.2.300' is not an IP address or network"),
        ("example.org", "'example.org' is not an IP address or network"),
        ("192.0.2.0/33", "'192.0.2.0/33' is not an IP address or network"),
        (
            "10.1.1.1/8",
            "'10.1.1.1/8' is not an IP address or network (bits are set after the prefix); write 10.0.0.0/8",
        ),
        ("5", "5 is not an IP address or network; put it in quotes if it is one"),
        ("2001:20", "120080 is not an IP address or network; put it in quotes if it is one"),
        ("true", "True is not an IP address or network; put it in quotes if it is one"),
    ],
)
def test_a_wrong_network_is_reported(item: str, reason: str) -> None:
    assert problem(f"ignore:\n- 192.0.2.1\n- {item}") == f"file:3: ignore.1: {reason}."


@pytest.mark.parametrize("word", ["off", "'off'", "no"])
def test_off_is_a_word_although_yaml_reads_false(word: str) -> None:
    settings = loader.parse(f"connections: {word}\nstate: {word}\n")
    assert (settings.connections, settings.state) == ("off", "off")


@pytest.mark.parametrize("path", ["''", "/", '"/a\\0"'])
def test_the_state_is_the_path_of_a_file(path: str) -> None:
    assert "is not the path of a file; name one, or write off" in problem(f"state: {path}")


@pytest.mark.parametrize("text", ['log: "\\ud800"', 'log: "a\\0b"', 'interfaces: ["a\\0b"]'])
def test_a_text_that_no_file_can_have_is_refused(text: str) -> None:
    assert "has a character that no file name and no message may have" in problem(text)


def test_a_value_in_a_sentence_is_short_and_printable() -> None:
    assert quoted("x" * 99) == "'" + "x" * 59 + "…"
    assert shortened("\x1b[31m\n") == "?[31m?"
    assert quoted(1 << 20_000) == "a number of thousands of digits"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("9797", "127.0.0.1:9797"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ('"[2001:DB8::1]:9797"', "[2001:db8::1]:9797"),
        ("off", "off"),
        ('"off"', "off"),
    ],
)
def test_an_address_to_listen_at_has_a_port(written: str, address: str) -> None:
    assert loader.parse(f"metrics: {{listen: {written}}}").metrics.listen == address


@pytest.mark.parametrize(
    "written", ["0", "65536", "true", "localhost:9797", '":9797"', '"::1:9797"', "300.0.0.1:1", "[]"]
)
def test_a_wrong_address_to_listen_at_is_reported(written: str) -> None:
    with pytest.raises(ConfigError, match="is no address and port"):
        loader.parse(f"metrics: {{listen: {written}}}")


@pytest.mark.parametrize("target", ["udp://log.example.org:514", "tcp://[2001:db8::1]:601", "unix:/run/log", "off"])
def test_a_syslog_server_is_named_with_its_transport(target: str) -> None:
    assert loader.parse(f'outputs: {{syslog: "{target}"}}').outputs.syslog == target
    assert loader.parse("outputs: {syslog: off}").outputs.syslog == "off"


@pytest.mark.parametrize("target", ["log.example.org", "udp://h", "tls://h:6514", "tcp://h:0", "tcp://h:99999", "5"])
def test_a_wrong_syslog_server_is_reported(target: str) -> None:
    with pytest.raises(ConfigError, match="is no syslog server"):
        loader.parse(f"outputs: {{syslog: {target}}}")
