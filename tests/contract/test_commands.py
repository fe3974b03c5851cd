"""Every block of commands in the pages is run here or by a test that is named here, or its page says why it is not."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.import_examples import EXAMPLES
from tests.support.log_lines import line, write
from tests.support.page_blocks import PAGES, Commands, cloud_config, command_blocks
from tests.support.paths import DOCS, ROOT
from tests.support.programs import write_program

BLOCKS = list(command_blocks())
# Blocks that change nothing but files: these run as they are, below a folder of their own.
HERE = re.compile(
    r"(#.*\n)*((\.venv/bin/)?portsentry-py (replay|report|import|allow|tail|explain|sources|scan)\b|"
    r"eval |grep |python -m tests\.)"
)
# The page and the first command of a block, and the test that does the same where it harms nobody.
ELSEWHERE = {
    ("fail2ban/README.md", "portsentry-py fail2ban test"): (
        "tests/unit/cli/test_fail2ban.py::test_the_filter_is_tested_with_the_real_fail2ban"
    ),
    ("docs/fail2ban.md", "fail2ban-client set portsentry banip 192.0.2.1"): (
        "tests/integration/jail/test_chain.py::test_a_test_ban_finds_its_rule_and_leaves_nothing"
    ),
    (
        "docs/seeing.md",
        "lnav -i config/lnav/portsentry.json",
    ): "tests/integration/test_lnav.py::test_sql_counts_what_is_in_the_log",
    ("docs/install.md", "install -D -m 644 docker/portsentry-py.logrotate /etc/logrotate.d/portsentry-py"): (
        "tests/contract/test_container.py::test_the_log_of_the_container_is_rotated_on_a_host_without_its_user"
    ),
}


def named(block: Commands) -> str:
    return ": ".join(block.key)


@pytest.mark.parametrize("block", BLOCKS, ids=named)
def test_a_block_is_run_or_says_why_it_is_not(block: Commands) -> None:
    ways = [bool(HERE.match(block.text)), block.key in ELSEWHERE, block.reason is not None]
    assert ways.count(True) == 1, "put `<!-- not run: REASON -->` before it, or name its test in ELSEWHERE"


def test_every_block_is_indented() -> None:
    """Else it would not be seen here."""
    assert [
        page.name for page in PAGES if re.search(r"^ *(```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ] == []


def test_the_tests_of_other_places_exist() -> None:
    assert set(ELSEWHERE) <= {block.key for block in BLOCKS}
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}, place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a reader of the pages has: a checkout with its environment, a capture, a log, files of other programs."""
    for name in ("docs/example/syn_scan.pcap", "capture.pcap"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DOCS / "example/syn_scan.pcap", tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for name in ("bin", "var/log", "etc/portsentry", "etc/psad", "etc/portsentry-py", "etc/fail2ban/jail.d"):
        (tmp_path / name).mkdir(parents=True)
    # A fail2ban without a jail: nothing reaches that of this machine.
    write_program(tmp_path / "bin/fail2ban-client", "#!/bin/sh\n")
    write(tmp_path / "var/log/portsentry.log", line(src_ip="203.0.113.9"), line(src_ip="198.51.100.66"))
    for name in ("portsentry/portsentry.conf", "portsentry/portsentry.ignore", "psad/psad.conf", "psad/auto_dl"):
        (tmp_path / "etc" / name).write_text(EXAMPLES[Path(name).name], encoding="utf-8")
    log, allowlist = tmp_path / "var/log/portsentry.log", tmp_path / "etc/portsentry-py/allowlist"
    settings = f"log: {log}\nallowlist: {allowlist}\nstate: {tmp_path}/state\n"
    (tmp_path / "settings.yaml").write_text(settings, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("block", [block for block in BLOCKS if HERE.match(block.text)], ids=named)
def test_a_block_does_what_it_says(block: Commands, folder: Path) -> None:
    script = re.sub(r"(?<= )/(?=(?:etc|var)/)", f"{folder}/", block.text)
    script = script.replace("portsentry-py tail", "portsentry-py tail --once")  # else until Ctrl-C
    surroundings = {
        **{name: text for name, text in os.environ.items() if not name.startswith("PORTSENTRY_")},
        "PATH": f"{folder}/bin:{folder}/.venv/bin:{os.environ['PATH']}",
        "PORTSENTRY_CONFIG": f"{folder}/settings.yaml",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_cloud_init_snippet_runs_the_commands_of_the_service() -> None:
    """Its keys are those of cloud-init's modules Package Update Upgrade Install, Write Files and Runcmd."""
    document = yaml.safe_load(cloud_config())
    (service,) = (block.text for block in BLOCKS if block.text.startswith("python3 -m venv /opt/portsentry-py\n"))
    (script,) = document["runcmd"]
    assert script.startswith("set -e\n"), "else a step runs after one that failed"
    assert script.rstrip("\n").endswith(f"\n{service}")
    assert set(document) == {"package_update", "packages", "write_files", "runcmd"}
    assert {"tshark", "fail2ban", "nftables", "python3-venv"} <= set(document["packages"])
    assert [set(file) for file in document["write_files"]] == [{"path", "content"}]
