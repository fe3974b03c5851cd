"""psad's reactions become options of the jail."""

from portsentry_py.config.importers.actions import MAIL
from portsentry_py.config.importers.psad_jail import jail_options

BLOCKS = {"ENABLE_AUTO_IDS": "Y", "ALERTING_METHODS": "noemail"}


def jail(options: dict[str, str]) -> dict[str, str]:
    return jail_options(options)[0]


def test_who_neither_blocks_nor_writes_has_the_jail_off() -> None:
    assert jail({"ALERTING_METHODS": "noemail", "EMAIL_ADDRESSES": "root@localhost"}) == {"enabled": "false"}


def test_psad_as_it_comes_writes_of_every_scan_and_bans_nobody() -> None:
    assert jail({"EMAIL_ADDRESSES": "root@localhost", "ENABLE_AUTO_IDS": "N"}) == {
        "destemail": "root@localhost",
        "mode": "aggressive",
        "action": MAIL,
    }


def test_the_ban_lasts_as_long_as_at_psads_level() -> None:
    assert jail(BLOCKS) == {"bantime": "3600"}
    assert jail({**BLOCKS, "AUTO_BLOCK_TIMEOUT": "60", "AUTO_BLOCK_DL5_TIMEOUT": "$AUTO_BLOCK_TIMEOUT"}) == {
        "bantime": "60"
    }
    assert jail({**BLOCKS, "AUTO_BLOCK_DL5_TIMEOUT": "0"}) == {"bantime": "-1"}
    assert jail({**BLOCKS, "AUTO_IDS_DANGER_LEVEL": "3", "AUTO_BLOCK_DL3_TIMEOUT": "x"}) == {"bantime": "3600"}


def test_every_way_to_react_is_an_action() -> None:
    options = {
        **BLOCKS,
        "TCPWRAPPERS_BLOCK_METHOD": "Y",
        "ENABLE_EXT_BLOCK_SCRIPT_EXEC": "Y",
        "EXTERNAL_BLOCK_SCRIPT": "/x SRCIP",
    }
    actions = ["%(action_)s", "portsentry-py-hostsdeny", "portsentry-py-command[command='/x $SRC_IP']"]
    assert jail(options)["action"].split("\n") == actions


def test_a_script_that_a_jail_file_cannot_hold_is_not_done() -> None:
    options = {**BLOCKS, "ENABLE_EXT_SCRIPT_EXEC": "Y", "EXTERNAL_SCRIPT": "x 'SRCIP'"}
    assert "EXTERNAL_SCRIPT" not in jail_options(options)[1]
    assert "EXTERNAL_BLOCK_SCRIPT" in jail_options(options)[1]
