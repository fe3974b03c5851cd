"""Each format has every source once, in order."""

import json
import subprocess

import pytest

from portsentry_py.fleet.formats import FORMATS, Format, listed
from tests.support.needs import require_root, require_tool

SOURCES = ("45.33.32.156", "2a00:1450:4001::/64", "45.1.1.1", "2a00::9")


@pytest.mark.parametrize("form", FORMATS)
def test_every_source_is_listed(form: Format) -> None:
    text = listed(SOURCES, form)
    assert text.endswith("\n")
    assert [text.count(source.partition("/")[0]) for source in SOURCES] == [1, 1, 1, 1]


def test_a_plain_list_has_addresses_and_a_cidr_list_networks() -> None:
    assert listed(SOURCES, "plain").split() == ["45.1.1.1", "45.33.32.156", "2a00::9", "2a00:1450:4001::/64"]
    assert listed(SOURCES, "juniper") == listed(SOURCES, "cidr")
    assert listed(SOURCES, "cidr").split()[0] == "45.1.1.1/32"
    assert json.loads(listed((), "json")) == []


@pytest.mark.parametrize("sources", [SOURCES, ()])
def test_nftables_reads_its_list(sources: tuple[str, ...]) -> None:
    require_root()
    words = [require_tool("unshare"), "-n", require_tool("nft"), "-c", "-f", "-"]
    done = subprocess.run(words, input=listed(sources, "nftables"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
