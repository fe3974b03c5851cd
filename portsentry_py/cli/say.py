"""Sentences for people, without the libraries that tables need."""

import click

from portsentry_py.text import printable_lines


def say(text: str, *, err: bool = False) -> None:
    """Print lines of text, which may hold names and words of others."""
    click.echo(printable_lines(text), err=err)
