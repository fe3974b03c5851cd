"""`schema`: the shipped file."""

from importlib import resources

from tests.support.command import Command


def test_the_schema_is_printed(command: Command) -> None:
    file = resources.files("portsentry_py.events") / "event.schema.json"
    assert command("schema").out == file.read_text(encoding="utf-8")
