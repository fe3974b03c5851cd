"""What portsentry did to a scanner, as options of the jail."""

import re

from portsentry_py.config.importers import actions
from portsentry_py.config.importers.imported import Note
from portsentry_py.config.importers.option import Options, notes_about

_DENY = re.compile(r"\s*([^:]*?)\s*:\s*\$TARGET\$\s*(?::\s*DENY\s*)?", re.IGNORECASE)
_TOKENS = (("$TARGET$", "$SRC_IP"), ("$PORT$", "$DEST_PORT"), ("$MODE$", "$SCAN_TYPE"))

_OFF = "portsentry blocked nobody, so the jail is off; if fail2ban read portsentry's log, remove enabled = false"
_ONE_JAIL = "the jail does the same for both protocols; it does what BLOCK_TCP says"
_UNUSED = "portsentry used it only with BLOCK_TCP or BLOCK_UDP"
_OTHER_ROUTE = "the command is of no kind that fail2ban knows; the jail bans in the firewall instead"
_OTHER_DENY = "the entry has parts that fail2ban does not write; it writes ALL: and the address"
_NO_KILL = "portsentry had no command to block with; the jail bans in the firewall"


def jail_options(options: Options) -> tuple[dict[str, str], list[Note]]:
    """The options of [portsentry], and notes about what has no equivalent.

    Raises:
        InputError: an option has a value that portsentry does not know.
    """
    block = {
        proto: options[name].one_of("0", "1", "2") if (name := f"BLOCK_{proto}") in options else "0"
        for proto in ("TCP", "UDP")
    }
    if set(block.values()) == {"0"}:
        return {"enabled": "false"}, notes_about(options, ("BLOCK_TCP", "BLOCK_UDP"), _OFF) + notes_about(
            options, ("KILL_ROUTE", "KILL_HOSTS_DENY", "KILL_RUN_CMD", "KILL_RUN_CMD_FIRST"), _UNUSED
        )
    jail: dict[str, str] = {}
    notes: list[Note] = []
    if "0" in block.values():
        # A line names the transport of the last probe; the jail reads no line of the other one.
        jail["ignoreregex"] = f'"proto":"{"tcp" if block["TCP"] == "0" else "udp"}"'
    elif block["TCP"] != block["UDP"]:
        notes += notes_about(options, ("BLOCK_UDP",), _ONE_JAIL)
    blocks = next(number for number in block.values() if number != "0") == "1"
    wanted, more = _actions(options, blocks=blocks)
    if wanted and wanted != [actions.FIREWALL]:
        jail["action"] = "\n".join(wanted)
    return jail, notes + more


def _actions(options: Options, *, blocks: bool) -> tuple[list[str], list[Note]]:
    """The lines of `action`, in the order in which portsentry acted."""
    wanted: list[str] = []
    notes: list[Note] = []
    if blocks and "KILL_ROUTE" in options:
        action = actions.kill_route(options["KILL_ROUTE"].text)
        notes += [] if action else notes_about(options, ("KILL_ROUTE",), _OTHER_ROUTE)
        wanted.append(action or actions.FIREWALL)
    if blocks and "KILL_HOSTS_DENY" in options:
        found = _DENY.fullmatch(options["KILL_HOSTS_DENY"].text)
        action = actions.hosts_deny(found[1]) if found else None
        notes += [] if action else notes_about(options, ("KILL_HOSTS_DENY",), _OTHER_DENY)
        wanted.append(action or "portsentry-py-hostsdeny")
    if "KILL_RUN_CMD" in options:
        command = options["KILL_RUN_CMD"].text
        for token, variable in _TOKENS:
            command = command.replace(token, variable)
        action = actions.run_command(command)
        notes += [] if action else notes_about(options, ("KILL_RUN_CMD",), actions.PUT_IN_A_SCRIPT)
        first = "KILL_RUN_CMD_FIRST" in options and options["KILL_RUN_CMD_FIRST"].one_of("0", "1") == "1"
        if action:
            wanted.insert(0 if first else len(wanted), action)
    if not wanted:
        notes += notes_about(options, ("BLOCK_TCP", "BLOCK_UDP"), _NO_KILL)
    return wanted, notes
