"""Tables and sentences for people: whole addresses, and no text that is more than text."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from portsentry_py.cli.render import show_outcomes, stderr, stdout, summary_table
from portsentry_py.fail2ban.placing import Outcome
from portsentry_py.sensor.replay import Summary
from tests.support.build import SCANNER6, scans, strict, syn, watch


@pytest.mark.parametrize("console", [stdout, stderr])
def test_markup_and_emoji_are_shown_as_they_are(console: Console) -> None:
    with console.capture() as shown:
        console.print("2001:db8:a::1 [bold]x[/bold]")
    assert shown.get() == "2001:db8:a::1 [bold]x[/bold]\n"


def test_a_difference_follows_the_file_that_was_kept(capfd: pytest.CaptureFixture[str]) -> None:
    show_outcomes([Outcome(Path("/etc/x"), "kept", "-theirs\n+ours", "you changed it")])
    assert capfd.readouterr().out == "kept: /etc/x (you changed it)\n-theirs\n+ours\n"


def test_the_summary_shows_whole_addresses_and_says_what_it_leaves_out() -> None:
    (scan,) = scans(watch(strict(), syn(SCANNER6, 1, 2, 3, 4)))
    source = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"
    summary = Summary(packets=4)
    summary.note(replace(scan, src_ip=source))
    summary.unshown = 3
    with stdout.capture() as shown:
        stdout.print(summary_table(summary))
    assert source in shown.get()
    assert "4 packets: 1 scan" in shown.get()
    assert "3 more lines, about other sources" in shown.get()
