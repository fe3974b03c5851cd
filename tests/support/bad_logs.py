"""What somebody may have put where the log should be; a file `victim` is beside it."""

from pathlib import Path


def link(log: Path) -> None:
    log.symlink_to(log.with_name("victim"))


def dangling_link(log: Path) -> None:
    log.symlink_to(log.with_name("none"))


def hard_link(log: Path) -> None:
    log.hardlink_to(log.with_name("victim"))


def writable(log: Path) -> None:
    log.touch()
    log.chmod(0o646)
