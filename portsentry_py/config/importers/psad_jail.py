"""What psad did to a scanner, as options of the jail."""

from collections.abc import Mapping

from portsentry_py.config.importers import actions

_SWITCHES = (
    *("ENABLE_AUTO_IDS", "AUTO_BLOCK_TIMEOUT", "IPTABLES_BLOCK_METHOD", "TCPWRAPPERS_BLOCK_METHOD"),
    *(
        "EMAIL_ADDRESSES",
        "ALERTING_METHODS",
        "ENABLE_AUTO_IDS_EMAILS",
        *(f"AUTO_BLOCK_DL{n}_TIMEOUT" for n in range(1, 6)),
    ),
)
_SCRIPTS = (("ENABLE_EXT_SCRIPT_EXEC", "EXTERNAL_SCRIPT"), ("ENABLE_EXT_BLOCK_SCRIPT_EXEC", "EXTERNAL_BLOCK_SCRIPT"))


def jail_options(options: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """The options of [portsentry], and the names of the options of psad that they say all of."""
    jail: dict[str, str] = {}
    used = {*_SWITCHES}
    mail = _mail(options)
    if mail:
        jail["destemail"] = mail
    wanted = _blocks(options) if options.get("ENABLE_AUTO_IDS") == "Y" else []
    if wanted:
        jail["bantime"] = _ban_time(options)
    elif mail:
        # psad sends mail of every scan, also of those that it would not block.
        jail["mode"] = "aggressive"
    wanted += [actions.MAIL] if mail else []
    for switch, script in _SCRIPTS:
        used.add(switch)
        if options.get(switch) != "Y":
            used.add(script)
        elif action := actions.run_command(options.get(script, "").replace("SRCIP", "$SRC_IP")):
            wanted.append(action)
            used.add(script)
    if not wanted:
        return {"enabled": "false"}, used
    return jail if wanted == [actions.FIREWALL] else {**jail, "action": "\n".join(wanted)}, used


def _mail(options: Mapping[str, str]) -> str | None:
    if "noemail" in options.get("ALERTING_METHODS", "").lower():
        return None
    return actions.receivers(options.get("EMAIL_ADDRESSES", ""))


def _blocks(options: Mapping[str, str]) -> list[str]:
    firewall = [actions.FIREWALL] if options.get("IPTABLES_BLOCK_METHOD", "Y") == "Y" else []
    return firewall + (["portsentry-py-hostsdeny"] if options.get("TCPWRAPPERS_BLOCK_METHOD") == "Y" else [])


def _ban_time(options: Mapping[str, str]) -> str:
    """In seconds, at the danger level that bans; -1 is for good, where psad has 0."""
    level = options.get("AUTO_IDS_DANGER_LEVEL", "5")
    text = options.get(f"AUTO_BLOCK_DL{level}_TIMEOUT", "$AUTO_BLOCK_TIMEOUT")
    if text == "$AUTO_BLOCK_TIMEOUT":
        text = options.get("AUTO_BLOCK_TIMEOUT", "3600")
    if not (text.isascii() and text.isdigit()):
        return "3600"
    return "-1" if int(text) == 0 else text
