"""scanlogd's options become the profile and the interface."""

from portsentry_py.config.importers.scanlogd import read
from tests.support.import_examples import PARAMS, source


def test_the_profile_the_interface_and_the_thresholds_that_were_changed() -> None:
    imported = read(source(PARAMS))
    assert imported.settings == {"profile": "scanlogd", "interfaces": ["eth0"]}
    assert [note.option for note in imported.notes] == ["scanlogd", "SCANLOGD_USER", "SCAN_MIN_COUNT"]


def test_all_is_any_and_a_device_that_is_no_name_has_a_note() -> None:
    assert read(source('#define SCANLOGD_DEVICE "all"')).settings["interfaces"] == ["any"]
    assert [note.option for note in read(source("#define SCANLOGD_DEVICE DEVICE")).notes][1:] == ["SCANLOGD_DEVICE"]
