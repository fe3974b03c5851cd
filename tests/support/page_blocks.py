"""The blocks of shell commands in the pages for operators and developers."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from tests.support.paths import DOCS, ROOT

PAGES = (ROOT / "README.md", ROOT / "fail2ban/README.md", *sorted(DOCS.glob("*.md")))
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?(?<=\n)\n(?P<text>(?:^ {4,}\S.*\n|^\n(?= {4}))+)", re.MULTILINE
)
# Lines of the log and of `tail`, sections of ini files and units, YAML, LogQL, SQL, addresses of servers, drawings.
_OTHER = re.compile(r"[{\[]|\d{4}-|;SELECT |(#.*\n)*[a-z_]+:( |\n)|#cloud-config\n|[a-z]+://|dumpcap ──")


class Commands(NamedTuple):
    """A block of shell commands: its page in the checkout, and the reason why no test runs it, if it has one."""

    page: str
    text: str
    reason: str | None

    @property
    def key(self) -> tuple[str, str]:
        """The page and the first command, without its comment."""
        return self.page, self.text.splitlines()[0].partition(" #")[0].rstrip()


def command_blocks() -> Iterator[Commands]:
    for page in PAGES:
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            text = dedent(found["text"]).strip("\n")
            if not _OTHER.match(text):
                yield Commands(str(page.relative_to(ROOT)), text, found["reason"])


def cloud_config(page: Path = DOCS / "install.md") -> str:
    """The block for cloud-init."""
    (text,) = (
        dedent(found["text"])
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
        if "#cloud-config" in found["text"]
    )
    return text
