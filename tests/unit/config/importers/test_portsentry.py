"""portsentry's ports become traps, and every option has an equivalent or a note."""

from pathlib import Path

import pytest

from portsentry_py.config.importers.portsentry import read
from portsentry_py.errors import InputError
from tests.support.import_examples import DEFAULT, PORTSENTRY_2, PORTSENTRY_12, source


def noted(*texts: str, ignore_files: tuple[str, ...] = ()) -> set[str]:
    imported = read([source(text) for text in texts], [Path(name) for name in ignore_files])
    return {note.option for note in imported.notes}


def test_the_first_touch_of_a_listed_port_bans_as_before() -> None:
    assert read([source(PORTSENTRY_12)], []).settings == {
        "profile": "portsentry",
        "traps.tcp": [1, 11, 15, 79, 111, 540, 12345, 12346],
        "traps.udp": [1, 7, 9, 69, 161],
        "traps.banner": "Go away.",
    }


def test_a_trigger_is_the_second_touch() -> None:
    settings = read([source(PORTSENTRY_2)], []).settings
    assert settings == {"traps.ban_on": "second", "traps.tcp": [1, 7, "512-515", 1080], "traps.udp": [7, 517, 518]}
    assert "SCAN_TRIGGER" in noted(PORTSENTRY_2)


def test_advanced_mode_is_every_port_but_the_excluded() -> None:
    settings = read([source(PORTSENTRY_12), source(DEFAULT)], []).settings
    assert settings["traps.tcp"] == ["1-6", "8-12", "14-20"]
    assert settings["traps.udp"] == [1, 7, 9, 69, 161]
    assert "UDP_MODE" in noted(DEFAULT)


def test_what_has_no_equivalent_is_named() -> None:
    assert noted(PORTSENTRY_12, 'RESOLVE="1"') == {
        *("HISTORY_FILE", "BLOCKED_FILE", "RESOLVE_HOST", "PORT_BANNER", "IGNORE_FILE", "RESOLVE"),
        *("ADVANCED_PORTS_TCP", "ADVANCED_PORTS_UDP", "ADVANCED_EXCLUDE_TCP"),
    }


def test_an_ignore_file_that_is_imported_too_has_no_note() -> None:
    assert "IGNORE_FILE" not in noted(PORTSENTRY_12, ignore_files=("elsewhere/portsentry.ignore",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TCP_PORTS", 'not NAME="VALUE"; correct'),
        ("TCP_PORTS=1,2", 'not NAME="VALUE"'),
        ('TCP_PORTS="1', 'not NAME="VALUE"'),
        ('TCP_PORTS="1,x"', "'x' is not a port"),
        ('SCAN_TRIGGER="-1"', "'-1' is not a number of touches"),
        ('BLOCK_TCP="3"', "'3' is none of 0, 1, 2; write one of them"),
    ],
)
def test_a_wrong_line_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"^/etc/file:2: {words}"):
        read([source(f"# x\n{text}\n")], [])
