"""portsentry's reactions become options of the jail."""

import pytest

from portsentry_py.config.importers.option import Option
from portsentry_py.config.importers.portsentry_jail import jail_options
from tests.support.import_examples import source

COMMAND = "portsentry-py-command[command='page $SRC_IP $DEST_PORT']"
ROUTE = {"KILL_ROUTE": "ip route add blackhole $TARGET$"}
BOTH = {"BLOCK_TCP": "1", "BLOCK_UDP": "1"}
RUN = {"KILL_RUN_CMD": "page $TARGET$ $PORT$"}


def translated(options: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    jail, notes = jail_options({name: Option(source(""), 1, text) for name, text in options.items()})
    return jail, {note.option for note in notes}


def jail(options: dict[str, str]) -> dict[str, str]:
    return translated(options)[0]


def noted(options: dict[str, str]) -> set[str]:
    return translated(options)[1]


def test_who_blocked_nobody_has_the_jail_off() -> None:
    assert jail({"BLOCK_TCP": "0", **ROUTE}) == {"enabled": "false"}
    assert noted({"BLOCK_TCP": "0", **ROUTE}) == {"BLOCK_TCP", "KILL_ROUTE"}


def test_a_firewall_is_the_jails_own_action() -> None:
    assert jail({**BOTH, "KILL_ROUTE": "iptables -I INPUT -s $TARGET$ -j DROP"}) == {}


@pytest.mark.parametrize(("first", "order"), [("1", [COMMAND, 0]), ("0", [0, COMMAND]), (None, [0, COMMAND])])
def test_the_order_of_the_actions_is_that_of_portsentry(first: str | None, order: list[str | int]) -> None:
    route = 'route[blocktype="blackhole"]'
    options = {**BOTH, **ROUTE, **RUN, **({"KILL_RUN_CMD_FIRST": first} if first else {})}
    assert jail(options)["action"] == "\n".join(route if one == 0 else COMMAND for one in order)


def test_hosts_deny_alone_stays_alone() -> None:
    assert jail({**BOTH, "KILL_HOSTS_DENY": "sshd: $TARGET$"}) == {
        "action": 'portsentry-py-hostsdeny[daemon_list="sshd"]'
    }


def test_mode_2_runs_the_command_alone() -> None:
    assert jail({"BLOCK_TCP": "2", "BLOCK_UDP": "2", **ROUTE, **RUN}) == {"action": COMMAND}


def test_a_protocol_that_is_not_blocked_is_not_read() -> None:
    assert jail({"BLOCK_TCP": "1", **ROUTE})["ignoreregex"] == '"proto":"udp"'
    assert jail({"BLOCK_UDP": "1", **ROUTE})["ignoreregex"] == '"proto":"tcp"'


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"BLOCK_TCP": "1", "BLOCK_UDP": "2", **ROUTE}, "BLOCK_UDP"),
        ({**BOTH, "KILL_ROUTE": "/opt/block $TARGET$"}, "KILL_ROUTE"),
        ({**BOTH, "KILL_HOSTS_DENY": "ALL: $TARGET$ : spawn (x)"}, "KILL_HOSTS_DENY"),
        ({**BOTH, "KILL_RUN_CMD": "page '$TARGET$'"}, "KILL_RUN_CMD"),
        (BOTH, "BLOCK_TCP"),
    ],
)
def test_a_difference_has_a_note(options: dict[str, str], option: str) -> None:
    assert option in noted(options)
