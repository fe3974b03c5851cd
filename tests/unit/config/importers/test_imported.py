"""The parts of several files become one."""

from ipaddress import ip_network

from portsentry_py.config.importers.imported import Imported, Note, everybody, merged


def test_lists_are_joined_without_repetitions() -> None:
    parts = [Imported({"ignore": ["192.0.2.1", "192.0.2.2"]}), Imported({"ignore": ["192.0.2.2", "192.0.2.3"]})]
    assert merged(parts) == Imported({"ignore": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]})


def test_of_two_values_the_first_stays_with_a_note() -> None:
    parts = [
        Imported({"profile": "psad"}, {"enabled": "false"}),
        Imported({"profile": "scanlogd"}, {"enabled": "true"}, (Note("a", "b", "c"),)),
    ]
    both = merged(parts)
    assert (both.settings, both.jail) == ({"profile": "psad"}, {"enabled": "false"})
    assert both.notes[:2] == (
        Note("a", "b", "c"),
        Note("profile", "scanlogd", "another of the files gives psad, which stays"),
    )
    assert len(both.notes) == 3


def test_the_whole_internet_on_a_list_has_a_note() -> None:
    assert [note.option for note in everybody("x", "file:1", [ip_network("::/0"), ip_network("10.0.0.0/8")])] == ["x"]
