"""Data goes one way through the rooms, the core stays pure, and every module has its test.

`python -m tests.contract.test_layout` prints the rooms and how often each imports from another.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from tests.support.paths import PACKAGE, ROOT

# The rooms, in the order in which they may import: each from those above it, never from those below.
FLOORS = (
    {"errors", "replacement", "text", "shipped"},
    {"config"},
    {"events"},
    {"core"},
    {"privsep", "host", "capture", "output", "state", "fail2ban", "report", "deploy", "fleet"},
    {"checks", "sensor"},
    {"cli"},
    {"__main__"},
)
# Who may import its neighbour on the same floor.
SIDEWAYS = {
    *(("errors", "text"), ("capture", "privsep"), ("capture", "host")),
    *(("report", "fail2ban"), ("report", "state"), ("deploy", "fail2ban")),
    *(("fleet", "output"), ("fleet", "report")),
}
# What a room may import of the floors above it, where that is less than all.
NARROW = {
    "core": {"config.settings", "events.model"},
    "output": {"errors", "replacement", "text", "events.model", "events.readable", "config.settings"},
    "fail2ban": {"errors", "replacement", "text", "shipped", "events.model", "config.settings"},
    "report": {"errors", "text", "events.model", "events.readable", "config.settings"},
    "deploy": {"errors", "shipped"},
    "fleet": {"errors", "replacement", "text", "events.model", "config.settings", "config.values"},
}
# These run as programs of their own, before any other code: the standard library alone.
PROGRAMS = {"privsep.launcher", "privsep.sandbox", "checks.drill.stranger"}
MOST_ROOMS = 20
# Within the core, too, data goes one way. The detectors do not know each other.
CORE = (
    "packet",
    "self_test",
    "lru_table",
    "allowance",
    "host_state",
    "tshark36",
    "columns",
    "provenance",
    "decode",
    "rate_limit",
    "fast_path",
    "waiting",
    "admission",
    "sighting",
    "probe_types",
    "route_probes",
    "home",
    "served_ports",
    "reflection",
    "expectation",
    "flow",
    "icmp_errors",
    "flows",
    "flow_heads",
    "refusals",
    "protocols",
    "fingerprints",
    "source_record",
    "spoofed_twins",
    "source_table",
    "standing",
    "finding",
    "group_table",
    "swept_ports",
    "outbound_table",
    "question",
    "detectors.base",
    "detectors.*",
    "detectors.profiles",
    "known_scanners",
    "policy",
    "bans",
    "unreported_scans",
    "scan_tracker",
    "judging",
    "saved_state",
    "event_builder",
    "detection",
    "pipeline",
)
IMPURE = {
    *("asyncio", "logging", "os", "pathlib", "random", "secrets", "select", "selectors", "signal", "socket"),
    *("subprocess", "tempfile", "threading", "time", "uuid"),
}
CLOCKS = {"now", "utcnow", "today", "fromtimestamp"}
# Third-party package: the modules, or the room, that may import it.
OWNERS = {
    "cryptography": {"fleet.certificates"},
    "nacl": {"fleet.identity"},
    "nkeys": {"fleet.identity"},
    "pyshark": {"capture.dissection"},
    "pythonjsonlogger": {"output.json_log"},
    "yaml": {"config.document"},
    "pydantic": {"config.loader"},
    "msgspec": {"state.codec", "state.snapshot", "fleet"},
    "click": {"cli"},
    "location": {"output.geo"},
    "nats": {"fleet.broker"},
    "maxminddb": {"output.geo"},
    "psutil": {"host.interfaces", "host.sockets", "capture.process_pipe"},
    "prometheus_client": {"fleet.metrics", "output.metrics", "output.metrics_file", "output.metrics_server"},
    "duckdb": {"report.database"},
    "scapy": {"checks.scan.probes"},
    "rich": {
        *("cli.render", "cli.report", "cli.scan", "output.console"),
        *("report.summary_tables", "report.terminal"),
    },
}
# Modules without a test file of their own, and why.
TESTED_ELSEWHERE = {
    "capture.dissection": "a program, run by test_source_packets",
    "__main__": "one call; tests/unit/cli runs it",
    "checks.scan.prober": "a protocol, of which test_raw and test_connect have one each",
    "core.detectors.base": "what the detectors share, in the test of each",
    "core.finding": "a noun, made by tests/unit/core/detectors",
    "core.packet": "names and fields, read by test_decode",
    "core.saved_state": "a noun, made by test_pipeline",
    "core.sighting": "a noun, made by test_flows",
    "sensor.assembly": "wiring, run by tests/unit/cli/test_run",
    "report.summary": "nouns, made by test_summarize",
    "errors": "exit codes, in tests/unit/cli",
    "fleet.conversation": "a half of the agent, run with it by test_agent",
    "events.schema": "in tests/contract/test_line",
}


def _name(parts: tuple[str, ...]) -> str:
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Every module by its name in the package; a room's `__init__` only says what the room is for.
MODULES = {
    name: path
    for path in sorted(PACKAGE.rglob("*.py"))
    if (name := _name(path.relative_to(PACKAGE).with_suffix("").parts))
}
CODE = {name: path for name, path in MODULES.items() if path.name != "__init__.py"}
CORE_MODULES = [name for name in CODE if name.startswith("core.")]
# For `coverage report --include`.
CORE_FILES = [str(CODE[name].relative_to(ROOT)) for name in CORE_MODULES]


def _room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def _floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if _room(module) in rooms)


def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def _imports(module: str) -> Iterator[str]:
    """Every module that is imported anywhere in it, by full name."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in members if name.removeprefix("portsentry_py.") in MODULES}
            yield from modules or {node.module}


def _own(module: str) -> set[str]:
    """The modules of this package that it imports."""
    prefix = "portsentry_py."
    return {name.removeprefix(prefix) for name in _imports(module) if name.startswith(prefix)}


def _others(module: str) -> set[str]:
    """The top-level packages, not ours, that it imports."""
    return {name.split(".")[0] for name in _imports(module)} - {"portsentry_py"}


def _may_import(module: str, other: str) -> bool:
    here, there = _room(module), _room(other)
    if here == there:
        return True
    if _floor(there) == _floor(here):
        return (here, there) in SIDEWAYS
    return _floor(there) < _floor(here) and (here not in NARROW or not {other, there}.isdisjoint(NARROW[here]))


def _stage(module: str) -> int:
    """The position of a module of the core in the order in which data goes."""
    name = module.removeprefix("core.")
    return CORE.index(name if name in CORE else "detectors.*")


def arrows() -> dict[str, Counter[str]]:
    """For each room, from the top of the building down: the rooms that its modules import, and how often."""
    rooms = sorted({_room(module) for module in CODE}, key=lambda room: (_floor(room), room))
    found = {room: Counter[str]() for room in rooms}
    for module in CODE:
        found[_room(module)].update(_room(other) for other in _own(module) if _room(other) != _room(module))
    return found


def test_the_search_finds_the_package() -> None:
    assert len(CODE) > 60
    assert "core.source_record" in _own("core.detectors.port_scan")
    assert "ipaddress" in _others("core.decode")
    assert "click" in _others("cli.main")


def test_every_module_is_in_a_room() -> None:
    known = {room for rooms in FLOORS for room in rooms}
    assert {_room(module) for module in CODE} <= known
    assert {name for name in CORE if "*" not in name} <= {name.removeprefix("core.") for name in CORE_MODULES}


@pytest.mark.parametrize("module", sorted(CODE))
def test_a_room_imports_only_from_the_rooms_above_it(module: str) -> None:
    assert [other for other in sorted(_own(module)) if not _may_import(module, other)] == []


def test_the_rooms_are_few_and_in_no_circle() -> None:
    assert len(arrows()) <= MOST_ROOMS
    TopologicalSorter(arrows()).prepare()


def test_the_room_itself_holds_no_code() -> None:
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            assert len(_tree(name).body) == 1, f"{path}: a docstring alone"


@pytest.mark.parametrize("module", sorted(PROGRAMS))
def test_a_program_imports_the_standard_library_alone(module: str) -> None:
    assert _own(module) == set()
    assert _others(module) <= sys.stdlib_module_names


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_is_pure(module: str) -> None:
    assert _others(module) <= sys.stdlib_module_names
    assert _others(module) & IMPURE == set()
    used = {node.attr for node in ast.walk(_tree(module)) if isinstance(node, ast.Attribute)}
    assert used & CLOCKS == set()
    called = {
        node.func.id
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {"open", "input", "print", "exec", "eval", "__import__"} == set()


@pytest.mark.parametrize("module", CORE_MODULES)
def test_data_goes_one_way_through_the_core(module: str) -> None:
    later = [name for name in _own(module) if _room(name) == "core" and _stage(name) >= _stage(module)]
    assert [name for name in later if name != module] == []


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_each_third_party_package_is_known_in_one_place(package: str) -> None:
    owners, importers = OWNERS[package], {module for module in CODE if package in _others(module)}
    assert {module if module in owners else _room(module) for module in importers} == owners, importers


def test_no_other_third_party_package_is_imported() -> None:
    imported = {name for module in CODE for name in _others(module)}
    assert imported - sys.stdlib_module_names <= set(OWNERS)


@pytest.mark.parametrize("module", [name for name in CODE if _room(name) != "cli" and name not in PROGRAMS])
def test_only_the_command_line_exits(module: str) -> None:
    exits = [
        node
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) == ("sys", "exit")
    ]
    assert exits == []


@pytest.mark.parametrize("module", sorted(CODE))
def test_every_module_has_a_test_file_or_a_reason(module: str) -> None:
    *rooms, name = module.split(".")
    expected = ROOT.joinpath("tests", "unit", *rooms, f"test_{name}.py")
    assert expected.exists() != (module in TESTED_ELSEWHERE), expected


def test_the_reasons_are_about_modules_that_exist() -> None:
    assert set(TESTED_ELSEWHERE) <= set(CODE)


def test_tests_share_their_helpers_in_tests_support() -> None:
    """Else moving one test would break others; the pages show the tables of this one."""
    found = [
        (str(path.relative_to(ROOT)), imported)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for imported in re.findall(
            r"^(?:from|import) (tests\S*\.(?:test_\w+|conftest))\b", path.read_text("utf-8"), re.MULTILINE
        )
    ]
    assert found == [("tests/contract/test_docs.py", "tests.contract.test_layout")]


if __name__ == "__main__":
    for room, others in arrows().items():
        modules = sum(_room(module) == room for module in CODE)
        imported = ", ".join(f"{other} {count}" for other, count in others.most_common()) or "none"
        print(f"{room:<10} {modules:>3} modules; imports: {imported}")
