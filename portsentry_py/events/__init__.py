"""The published line: its dataclasses and its JSON Schema."""
