"""`schema`: the JSON Schema of the log's lines."""

from importlib import resources

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of the log's lines."""
    text = (resources.files("portsentry_py.events") / "event.schema.json").read_text(encoding="utf-8")
    click.echo(text, nl=False)
