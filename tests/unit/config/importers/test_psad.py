"""psad's networks, ports and levels become ours."""

from pathlib import Path

import pytest

from portsentry_py.config.importers.psad import read
from portsentry_py.errors import InputError
from tests.support.import_examples import PSAD, source


def test_networks_ports_and_the_profile() -> None:
    assert read([source(PSAD)], []).settings == {
        "profile": "psad",
        "home": ["192.0.2.0/24", "2001:db8::/48"],
        "served.udp": [53],
        "served.tcp": ["61000-61002"],
    }


def test_what_has_no_equivalent_is_named_and_defaults_are_not() -> None:
    noted = {note.option for note in read([source(PSAD)], []).notes}
    assert noted == {"DANGER_LEVEL2", "IGNORE_INTERFACES", "ENABLE_DSHIELD_ALERTS", "AUTO_DL_FILE", "iptablesCmd"}


def test_a_file_of_levels_that_is_imported_too_has_no_note() -> None:
    assert "AUTO_DL_FILE" not in {note.option for note in read([source(PSAD)], [Path("x/auto_dl")]).notes}


def test_a_low_level_bans_by_our_own_rules() -> None:
    imported = read([source("ENABLE_AUTO_IDS Y;\nAUTO_IDS_DANGER_LEVEL 2;\n")], [])
    assert imported.settings == {}
    assert [note.option for note in imported.notes] == ["AUTO_IDS_DANGER_LEVEL"]


@pytest.mark.parametrize("network", ["any", "NOT_USED"])
def test_no_network_is_none(network: str) -> None:
    assert read([source(f"HOME_NET {network};")], []).settings == {"profile": "psad"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HOME_NET any", "not NAME VALUE;"),
        ("HOME_NET 192.0.2.x;", "'192.0.2.x' is not an IP address"),
        ("IGNORE_PORTS 22;", "'22' is no protocol and port"),
        ("IGNORE_PORTS tcp/x;", "'x' is not a port"),
    ],
)
def test_a_wrong_line_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"^/etc/file:1: {words}"):
        read([source(text)], [])
