"""`import`: configuration files of other programs, as ours."""

from pathlib import Path

import click

from portsentry_py.cli.options import command, option
from portsentry_py.cli.say import say
from portsentry_py.config.importers import written
from portsentry_py.config.importers.formats import import_all
from portsentry_py.config.importers.source import read_source
from portsentry_py.errors import OutputError, PermissionDenied


@command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("-o", "--output", default="-", help="New file for the configuration; `-` is standard output.")
@option(
    "--jail",
    type=click.Path(path_type=Path),
    show_default="comments at the end of the configuration",
    help=f"New file for the options of the jail, such as {written.JAIL_FILE}.",
)
def import_(files: tuple[Path, ...], output: str, jail: Path | None) -> None:
    """Turn the files of portsentry, psad or CrowdSec into ours.

    It reads portsentry.conf and portsentry.ignore (1.2 and 2.x), psad.conf and auto_dl, the params.h of scanlogd, and
    whitelists of CrowdSec, and knows each by its content. The result names every option that has no equivalent.
    """
    imported = import_all([read_source(path) for path in files])
    names = [path.name for path in files]
    texts = {Path(output): written.configuration(imported, names, with_jail=jail is None)}
    if jail is not None:
        texts[jail] = written.jail(imported, names)
    if output == "-":
        click.echo(texts.pop(Path(output)), nl=False)
    made: list[Path] = []
    try:
        for path, text in texts.items():
            _write_new(path, text)
            made.append(path)
    except (OutputError, PermissionDenied):
        for path in made:
            path.unlink(missing_ok=True)
        raise
    for path in made:
        say(f"wrote {path}", err=True)


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise OutputError(f"{path}: there is such a file already; name another, or remove it.") from error
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not make the file; run as root or name another.") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot write the file ({error.strerror}); name another.") from error
