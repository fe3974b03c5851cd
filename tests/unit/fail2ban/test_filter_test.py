"""The shipped filter matches in each mode what it must, and the samples notice a weaker filter."""

import pytest

from portsentry_py.fail2ban.client import CommandFailed
from portsentry_py.fail2ban.filter_test import run_all_modes, run_mode
from portsentry_py.fail2ban.pack import MODES, PackFile, pack_files
from portsentry_py.fail2ban.samples import samples
from tests.support.needs import require_tool

FILTER_FILE = next(file for file in pack_files() if file.target.startswith("filter.d"))


def test_every_mode_of_the_filter_matches_exactly_what_it_must() -> None:
    require_tool("fail2ban-regex")

    by_mode = {result.mode: result for result in run_all_modes()}

    assert list(by_mode) == list(MODES)
    assert [(result.missed, result.wrong) for result in by_mode.values()] == [((), ())] * 8
    assert all(result.ok and result.matched and result.unmatched for result in by_mode.values())
    # Each line of mode normal is in exactly one of its four parts.
    parts = [name for mode in ("scan", "trap", "sweep", "slow") for name in by_mode[mode].matched]
    assert sorted(parts) == sorted(by_mode["normal"].matched)


@pytest.mark.parametrize("mode", ["agressive", "", "normal-"])
def test_a_misspelled_mode_matches_nothing(mode: str) -> None:
    require_tool("fail2ban-regex")

    assert run_mode(mode, [FILTER_FILE], samples()).matched == ()


def test_an_ipv6_source_is_banned_alone_if_the_parameter_says_so() -> None:
    require_tool("fail2ban-regex")

    assert [run_mode(mode, [FILTER_FILE], samples(), ipv6="address").ok for mode in MODES] == [True] * 8


def test_a_misspelled_parameter_for_ipv6_bans_no_ipv6_source() -> None:
    require_tool("fail2ban-regex")

    result = run_mode("normal", [FILTER_FILE], samples(), ipv6="adress")

    banned = [sample for sample in samples() if "normal" in sample.modes and ":" not in sample.address]
    assert result.matched == tuple(sample.name for sample in banned)


@pytest.mark.parametrize(
    ("kept", "lost"),
    [
        (r"failregex = ^\{", r"failregex = \{"),
        ('%(_canonical)s[\\da-f.:]+"', '[\\w.:/]+"'),
        ("(?![0:]*ffff:)", ""),
        (r"(?=[\da-f.:]{2,39}\")(?![0:]*ffff:)".replace('\\"', '"'), "(?!::ffff:)"),
        ("%(_no_technique_of_ours)s", ""),
        ("%(_not_from_us)s", ""),
        ('"verdict":"<_verdict-<mode>>"', '"verdict":"<_verdict-<mode>>\\w*"'),
        ("<_verdict-<mode>>", r"\w+"),
        ('"source_verified":<_verified-<mode>>', '"source_verified":\\w+'),
        ("(?:scan|trap|fleet)", r"\w+"),
        ("_to_net =", "_to_net = .*"),
        ("(?P=own4)0/24", r"[\d.]+/24"),
        ("(?P=own4)0/24", "(?P=own4)0/2[45]"),
        ("(?P=own)(?(", r"[\da-f:]+?(?("),
        ("(?(fourth):0:0:(?P=fourth))", ""),
        ("(?P=site)::/48", "(?P=site)::/4[78]"),
        ("(?P=site)::/48", r"[\da-f:]+::/48"),
        ("(?(wide)(?P=wide)00|(?P=site)", r"(?(wide)[\da-f:]+00|(?P=site)"),
        ("(?(wide4th):0:0:(?P=wide4th)00)", ""),
        ('::/64"\n', '::/6[34]"\n'),
        ('::/64"\n', '::/64[0 ]?"\n'),
        ("|fe[89ab]", ""),
        ("(?:64:ff9b)?::/", "::/"),
        ("|2001:0?:", ""),
        ('|(?=[\\da-f:]+")\n', "\n"),
        ('(?!,"group_net")', ""),
        (',"group_net":"|', ',"group_nets":"|'),
        ('|(?!%(_text_net)s%(_keys)s,"group_net"))', "|)"),
        ('|(?!%(_text_net)s%(_keys)s,"group_net"))', ")"),
        ('(?!dest_port"|src_net")', ""),
        ('"[^"\\\\]{0,80}"', '".{0,80}"'),
        ("_technique-network    = distributed", r"_technique-network = \w+"),
        ("%%z", ""),
        (r'\{"timestamp":"",', r"\{.*"),
    ],
)
def test_the_samples_notice_a_weaker_filter(kept: str, lost: str) -> None:
    require_tool("fail2ban-regex")
    filter_text = FILTER_FILE.content.decode()
    assert kept in filter_text

    weaker = [PackFile(FILTER_FILE.target, filter_text.replace(kept, lost).encode())]

    lines = samples()
    modes = ("normal", "aggressive", "strict", "network")
    assert any(not run_mode(mode, weaker, lines).ok for mode in modes)


def test_a_filter_that_fail2ban_cannot_read_is_an_error() -> None:
    require_tool("fail2ban-regex")
    broken = [PackFile(FILTER_FILE.target, b"[Definition]\nfailregex = ^(<ADDR>\n")]

    with pytest.raises(CommandFailed, match="failed"):
        run_mode("normal", broken, samples())
