"""Nothing flows left, the core stays pure, and every module has its tests."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import portsentry_py

PACKAGE = Path(portsentry_py.__file__).parent
TESTS = Path(__file__).parent

# The stages of the core, in the order in which data goes. A module imports only from those above it. The
# detectors do not know each other; they come after `detectors.base` and before `detectors.profiles`.
CORE = (
    "packet",
    "self_test",
    "settings",
    "tables",
    "events",
    "schema",
    "host",
    "protocol_words",
    "decode",
    "gate",
    "sighting",
    "probes",
    "served",
    "flows",
    "tools",
    "ledger",
    "finding",
    "services",
    "detectors",
    "detectors.base",
    "detectors.*",
    "detectors.profiles",
    "ration",
    "scans",
    "snapshot",
    "policy",
    "narrate",
    "engine",
)
# What does I/O, or stands outside the pipe.
SHELL = {
    "__init__",
    "__main__",
    "accounts",
    "capture",
    "captures",
    "check",
    "children",
    "cli",
    "config",
    "console",
    "diagnostics",
    "errors",
    "jail_state",
    "kernel_filter",
    "launcher",
    "launcher_client",
    "listener",
    "live_check",
    "log_file",
    "log_reader",
    "machine",
    "manager",
    "memory",
    "overview",
    "overview_view",
    "pack",
    "pack_ban",
    "pack_conflicts",
    "pack_jails",
    "pack_samples",
    "privileges",
    "protected",
    "renewal",
    "replay",
    "sandbox",
    "service",
    "sinks",
    "state_file",
    "status",
    "tally",
    "unhurried",
    "worker",
}
IMPURE = {
    "asyncio",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
CLOCKS = {"now", "utcnow", "today", "fromtimestamp"}
# Third-party package: the modules that may know it.
OWNERS = {
    "pyshark": {"capture"},
    "pythonjsonlogger": {"sinks"},
    "orjson": {"sinks"},
    "yaml": {"config"},
    "pydantic": {"config"},
    "click": {"cli"},
    "psutil": {"machine"},
    "rich": {"cli", "console", "overview_view"},
}
# Modules without a test file of their own, and why.
TESTED_ELSEWHERE = {
    "live_check": "sends real packets, in tests/wire/test_live_check",
    "__init__": "holds the version alone",
    "__main__": "is one call; test_cli runs it",
    "packet": "names and fields, read by test_decode",
    "settings": "defaults and bounds, read by test_config",
    "sighting": "a noun, made by test_flows",
    "finding": "a noun, made by tests/detectors",
    "schema": "the contract, in test_contract",
    "errors": "exit codes, seen in test_cli",
    "status": "one line, in test_service and test_contract",
    "detectors": "holds no code",
    "detectors.base": "what the detectors share, seen in the test of each",
    "pack_ban": "in test_pack and tests/jail",
    "pack_conflicts": "in test_pack",
    "pack_samples": "in test_pack",
}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "data" not in path.parts}


def _stage(module: str) -> int | None:
    """Where a module stands in the core, None if it is not of the core."""
    if module in CORE:
        return CORE.index(module)
    return CORE.index("detectors.*") if module.startswith("detectors.") else None


CORE_MODULES = [module for module in MODULES if _stage(module) is not None]
# For `coverage report --include`.
CORE_FILES = [str(MODULES[module].relative_to(PACKAGE.parent)) for module in CORE_MODULES]


def _imports(module: str) -> Iterator[str]:
    """Every module that is imported anywhere in it, by full name."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            yield node.module
            if node.module.split(".")[0] == "portsentry_py":
                found = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (name for name in found if name.removeprefix("portsentry_py.") in MODULES)


def _own(module: str) -> set[str]:
    """The modules of this package that it imports."""
    prefix = "portsentry_py."
    return {name.removeprefix(prefix) for name in _imports(module) if name.startswith(prefix)}


def _others(module: str) -> set[str]:
    """The top-level packages, not ours, that it imports."""
    return {name.split(".")[0] for name in _imports(module)} - {"portsentry_py"}


def test_the_scan_found_the_package() -> None:
    assert len(MODULES) > 25
    assert len(CORE_MODULES) >= len(CORE) - 1
    assert "ledger" in _own("detectors.port_scan")
    assert "ipaddress" in _others("decode")
    assert "click" in _others("cli")
    assert CORE_FILES[0].startswith("portsentry_py/")


def test_every_module_has_its_place() -> None:
    listed = set(CORE) | SHELL
    unplaced = [module for module in MODULES if module not in listed and _stage(module) is None]
    assert not unplaced, f"say in CORE or SHELL where these belong: {unplaced}"
    gone = listed - set(MODULES) - {"detectors.*"}
    assert not gone, f"these are listed and no longer there: {gone}"
    assert not set(CORE) & SHELL


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_imports_the_standard_library_and_itself(module: str) -> None:
    assert _others(module) <= sys.stdlib_module_names
    assert {name for name in _own(module) if _stage(name) is None} == set()


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_has_no_clock_and_does_no_io(module: str) -> None:
    assert _others(module) & IMPURE == set()
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used & CLOCKS == set()
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if module == "schema":  # `python -m portsentry_py.schema` prints itself
        called.discard("print")
    assert called & {"open", "input", "print", "exec", "eval", "__import__"} == set()


@pytest.mark.parametrize("module", CORE_MODULES)
def test_nothing_flows_left(module: str) -> None:
    stage = _stage(module)
    assert stage is not None
    later = {name for name in _own(module) if (_stage(name) or 0) >= stage and name != module}
    assert not later, f"{module} comes before {later} in CORE"


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_each_third_party_package_is_known_in_one_place(package: str) -> None:
    importers = {module for module in MODULES if package in _others(module)}
    assert importers <= OWNERS[package]


def test_no_other_third_party_package_is_imported() -> None:
    imported = {name for module in MODULES for name in _others(module)}
    assert imported - sys.stdlib_module_names <= set(OWNERS)


def test_only_the_command_line_prints_and_exits() -> None:
    for module, path in MODULES.items():
        names = {
            f"{node.func.value.id}.{node.func.attr}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        }
        assert module in {"cli", "sandbox"} or "sys.exit" not in names, module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_has_a_test_file_or_a_reason(module: str) -> None:
    *folders, name = module.split(".")
    expected = TESTS.joinpath(*folders, f"test_{name}.py")
    assert expected.exists() != (module in TESTED_ELSEWHERE), expected


def test_the_reasons_are_about_modules_that_exist() -> None:
    assert set(TESTED_ELSEWHERE) <= set(MODULES)
