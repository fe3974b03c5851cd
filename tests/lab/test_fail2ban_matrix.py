"""A broken chain stands out in the table."""

from tests.lab.fail2ban_matrix import Row, shown


def test_a_row_says_what_worked_and_how_long_it_took() -> None:
    row = Row("1.0.2 (Debian)", "nftables", "IPv6 /64", True, 0.44, 0.11)
    assert shown([row]).endswith("| 1.0.2 (Debian) | nftables | IPv6 /64 | 0.4 s | refused | refused | 0.1 s | 0 |\n")
    assert row.ok


def test_a_broken_chain_is_not_ok() -> None:
    broken = Row("x", "nftables", "IPv6 /64", broken="waited in vain")
    assert "**waited in vain**" in broken.cells()
    assert not broken.ok
