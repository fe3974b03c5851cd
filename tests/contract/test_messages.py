"""The troubleshooting page has every message that an operator can meet, the moving page every reason of an import."""

import ast
import re
from collections.abc import Iterator

import pytest

from portsentry_py import errors
from portsentry_py.cli.main import COMMANDS
from portsentry_py.errors import PortsentryError
from tests.support.paths import DOCS, PACKAGE

TROUBLES = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
PAGE = TROUBLES + "".join((DOCS / page).read_text(encoding="utf-8") for page in ("moving.md", "fleet.md"))
# The core has no messages; the others hold patterns, sample lines and the texts of other pages.
OTHER_TEXTS = (
    *("core/*", "core/*/*", "events/*", "config/settings.py", "fail2ban/samples.py"),
    *(
        "output/console.py",
        "output/metrics.py",
        "report/terminal.py",
        "report/summary_tables.py",
        "report/web_page.py",
        "report/svg.py",
    ),
    *(
        "capture/bpf.py",
        "deploy/plan.py",
        "capture/worker.py",
        "checks/scan/raw.py",
        "privsep/launcher.py",
        "privsep/sandbox.py",
    ),
    "config/importers/written.py",
    *("report/explain.py", "report/reasons.py"),
    *("fleet/broker_config.py", "fleet/formats.py", "fleet/metrics.py", "fail2ban/pack.py"),
    "cli/main.py",
)
# Three words in a row make a sentence of a string.
SENTENCE = re.compile(r"[a-z]{2,} [a-z]+ [a-z]{2,}")
# A value inside of a message: a field of an f-string, or one of logging's.
VALUE = re.compile(r"\0|%[sd]")
# No trouble: results, table heads, words of fail2ban, reasons that are caught, forms of values.
NO_TROUBLE = {
    "#!/{copy}/bin/python\nfrom portsentry_py.cli.main import main\nmain()\n",
    *("addr add \0 dev \0 \0", "link add \0 \0 type veth peer name \0 \0 netns \0", "route add \0 dev \0"),
    *("link set \0 arp off addrgenmode none up", "link set lo up"),
    *("scans with \0 as \0", "waits for the lines in the log", " and the bans of fail2ban"),
    *("tries whether the bans hold", "lifts the bans, and tries whether the stranger is let back in"),
    *("removes what it made", "removed what a drill had left", "no drill has left anything"),
    "removed: the namespace, its wire and routes, and every ban of the drill",
    "installed below \0: the service starts at the next boot, and nothing was started or reloaded",
    "let somebody back in: portsentry-py allow ADDRESS",
    "see it work: portsentry-py drill --quick",
    *("fleet: what other hosts ban is in \0", "this host is \0 (\0)", "connected to \0, mode \0"),
    "runs: \0, as the user portsentry, from \0",
    "the jail \0, from the next start of fail2ban",
    "the jail \0, with \0",
    "the jails ban with \0",
    "\0, as you asked",
    "\0, which your fail2ban is set to",
    "\0, which your jail files set",
    "\0 needs \0, which is not installed",
    "it covers forwarded ports",
    "\0 is never banned\0: \0",
    "\0 is on the allowlist no longer: \0",
    "\0 more lines, about other sources",
    "\0, file \0 of \0: \0 %",
    "negative binomial upper tail, baseline: the same hour of the other weeks",
    "ERROR\\s+Failed to execute ban jail '(\0[\\w-]*)' action '([\\w-]+)'",
    "Failed to access socket",
    "Unable to contact server",
    "a frozen key is missing",
    "a list of addresses and networks",
    "an address and port, a port or `off`",
    "a host that is a network",
    "a list of names",
    "credentials of \0: \0",
    "the broker of \0: \0nats-server -c \0",
    "then: portsentry-py fleet publish \0",
    "published: the hosts take it at once",
    "\0: \0, mode \0, as of \0; \0 bans accepted",
    "\0; \0 of \0 bans, \0 accepted, room for \0 new\0",
    "; \0 contacts left out",
    "sweeps: \0 to ban, \0 to watch; \0 sources counted",
    "\0: fleet_sweep, \0, \0 until \0",
    "  asked in vain, last for port \0: \0",
    "\0: no host reports it",
    "add hosts: portsentry-py fleet add-host \0 NAME --address ADDRESS",
    "then: nats-server --signal reload, and portsentry-py fleet publish \0",
    "the operator did not sign it",
    "not a seed",
    "a name that no host can have",
    "not a roster",
    "a list of ports and ranges",
    "arm it with: portsentry-py fail2ban install --reload",
    "as it must be",
    "banned \0, found it in \0, and unbanned it: gone",
    "exit code \0",
    "ignore in the configuration",
    "installed in \0",
    "lines not matched",
    "not a line of the sensor",
    "portsentry-py \0 watches \0 with tshark \0; log: \0",
    "take effect with: fail2ban-client reload",
    "the filter is too long",
    "the jail '([\\w.-]{1,64})' does not exist",
    "the kernel counts packets beside the capture",
    "unbanned \0 in \0",
    *("and all others that come and go\0\0", "there at the start, and nothing here is of a kind that stays"),
    *("\0 on \0, which sees the same", "a port of \0, which sees the same", "\0, which can go at any time"),
    "no file, the defaults",
    "runs, and bans with \0",
    "works on \0",
    "writer of \0",
    "tshark may open no socket, write no file and read no secret",
    *(summary for _, summary in COMMANDS.values()),
}


def literals(tree: ast.Module) -> Iterator[str]:
    """Every string that is no docstring and no help text, with NUL for each value in it."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # a docstring
            inside.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg in {"help", "show_default"}:
            inside.update(ast.walk(node.value))
        elif isinstance(node, ast.JoinedStr):
            inside.update(node.values)
    for node in ast.walk(tree):
        if node in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def messages() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE)
        if not any(name.match(pattern) for pattern in OTHER_TEXTS):
            for literal in literals(ast.parse(path.read_text(encoding="utf-8"))):
                if SENTENCE.search(VALUE.sub("value", literal)) and literal not in NO_TROUBLE:
                    yield str(name), literal.replace("`", "").removeprefix("note: ").strip(",: ")


MESSAGES = sorted(set(messages()))


def test_the_search_finds_messages() -> None:
    rooms = {name.partition("/")[0] for name, _ in MESSAGES}
    assert rooms >= {"capture", "checks", "cli", "config", "fail2ban", "output", "report", "sensor", "state"}
    assert len(MESSAGES) > 100


@pytest.mark.parametrize(("module", "message"), MESSAGES)
def test_the_troubleshooting_page_has_the_message(module: str, message: str) -> None:
    """With any words where the values are."""
    pattern = "[^`]*".join(map(re.escape, VALUE.split(message)))
    assert re.search(pattern, PAGE), f"{module}: {message}"


def test_the_page_has_every_exit_code() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", TROUBLES.partition("## Exit codes")[2], re.MULTILINE))
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, PortsentryError)]
    assert {int(code) for code in rows} == {one.exit_code for one in classes} | {0, 1, 2, 130}


def test_the_exceptions_are_strings_of_the_package() -> None:
    found = {literal for path in PACKAGE.rglob("*.py") for literal in literals(ast.parse(path.read_text()))}
    assert found >= NO_TROUBLE
