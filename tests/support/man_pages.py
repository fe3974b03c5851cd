"""The manual pages, from the texts of --help and of the settings.

`python -m tests.support.man_pages DIRECTORY` writes them.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from portsentry_py import __version__
from portsentry_py.cli.main import cli
from portsentry_py.config.loader import DEFAULT_PATH
from portsentry_py.config.settings import DEFAULT_LOG
from tests.support.command import commands_of
from tests.support.settings_reference import reference

_FILES = f"""\
.SH FILES
.TP
.I {DEFAULT_PATH}
the configuration, see portsentry\\-py.yaml(5)
.TP
.I {DEFAULT_LOG}
the log, one JSON object on each line
"""


def pages() -> dict[str, str]:
    """Each page by the name of its file."""
    return {
        "portsentry-py.8": "\n".join([*_head("portsentry-py", 8, cli.get_short_help_str(200)), *_commands(), _FILES]),
        "portsentry-py.yaml.5": "\n".join(
            [*_head("portsentry-py.yaml", 5, "configuration of portsentry-py"), *_keys()]
        ),
    }


def _head(name: str, section: int, purpose: str) -> Iterator[str]:
    # Without a date, the same checkout gives the same page.
    yield f'.TH {_escaped(name).upper()} {section} "" "portsentry\\-py {__version__}"'
    yield f".SH NAME\n{_escaped(name)} \\- {_escaped(purpose.rstrip('.'))}"


def _commands() -> Iterator[str]:
    yield ".SH SYNOPSIS\n.B portsentry\\-py\n.I COMMAND\n[\\fIOPTION\\fR ...]"
    yield f".SH DESCRIPTION\n{_paragraphs(cli.help or '')}"
    yield ".SH COMMANDS"
    for words, command in commands_of(cli):
        if not isinstance(command, click.Group):
            context = click.Context(command, info_name=" ".join(words))
            usage = " ".join(command.collect_usage_pieces(context))
            yield f".SS {_escaped(' '.join(words))} {_escaped(usage)}\n{_paragraphs(command.help or '')}"
            for parameter in command.params:
                if record := parameter.get_help_record(context):
                    yield f".TP\n.B {_escaped(record[0])}\n{_escaped(record[1])}"


def _keys() -> Iterator[str]:
    yield f".SH DESCRIPTION\n{_escaped(str(DEFAULT_PATH))} is one YAML file. A missing key has its default."
    yield ".SH KEYS"
    for line in reference().splitlines():
        if heading := re.fullmatch(r"## `(.*)`", line):
            yield f".SH {_escaped(heading[1]).upper()}"
        elif row := re.fullmatch(r"\| `(.*?)` \| `(.*?)` \| (.*) \| (.*) \|", line):
            key, default, values, meaning = (_escaped(cell.replace("`", "")) for cell in row.groups())
            yield f".TP\n.B {key}\n{meaning} Values: {values}. Default: {default}."
        elif line and not line.startswith("|"):
            yield _escaped(line.replace("`", ""))
    yield ".SH SEE ALSO\n.BR portsentry\\-py (8)"


def _paragraphs(text: str) -> str:
    """The paragraphs of a help text; click marks those whose line breaks stay."""
    return "\n.PP\n".join(
        f".nf\n{_escaped(part.lstrip(chr(8)).strip(chr(10)))}\n.fi" if part.startswith("\b") else _escaped(part)
        for part in re.split(r"\n\n+", re.sub(r"^ +", "", text.partition("\f")[0].strip(), flags=re.MULTILINE))
    )


def _escaped(text: str) -> str:
    """Text as roff shows it, with no line that it would read as a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages().items():
        (folder / name).write_text(page.rstrip("\n") + "\n", encoding="utf-8")
