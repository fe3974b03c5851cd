"""The files of the service are written, kept if changed, and removed."""

from contextlib import ExitStack
from pathlib import Path

from portsentry_py.deploy.service_files import CONFIG, place, service_files, take_away
from portsentry_py.deploy.system import System
from portsentry_py.fail2ban.pack import PackFile
from tests.support.deploy_tree import Tree

PROGRAM = Path("/opt/portsentry-py/bin/portsentry-py")


def placed(tree: Tree, files: list[PackFile]) -> dict[str, str]:
    system = System(tree.root, running=False)
    outcomes = [place(system, file, ExitStack()) for file in files]
    return {str(outcome.path.relative_to(tree.root)): outcome.action for outcome in outcomes}


def test_the_unit_runs_the_installed_program() -> None:
    files = {file.target: file.content.decode() for file in service_files(PROGRAM)}
    assert f"ExecStart={PROGRAM} run\n" in files["etc/systemd/system/portsentry-py.service"]
    assert not [text for text in files.values() if "/usr/bin/portsentry-py" in text]


def test_the_files_are_placed_once_and_upgraded(tree: Tree) -> None:
    files = service_files(PROGRAM)
    assert set(placed(tree, files).values()) == {"installed"}
    assert set(placed(tree, files).values()) == {"unchanged"}
    newer = [PackFile(file.target, file.content + b"# newer\n") for file in files]
    assert set(placed(tree, newer).values()) == {"upgraded"}


def test_a_changed_configuration_is_kept(tree: Tree) -> None:
    placed(tree, service_files(PROGRAM))
    (tree.root / CONFIG).write_text("home: [192.0.2.0/24]\n")
    newer = [PackFile(file.target, file.content + b"# newer\n") for file in service_files(PROGRAM)]

    (tree.root / "etc/portsentry-py/allowlist").write_text("192.0.2.1\n")
    assert placed(tree, newer)[CONFIG] == "kept"
    outcomes = take_away(System(tree.root, running=False), purge=False)
    assert [outcome.path.name for outcome in outcomes if outcome.action == "kept"] == ["portsentry.yaml", "allowlist"]
    assert {outcome.action for outcome in outcomes if outcome.path.parent.name != "portsentry-py"} == {"removed"}
    assert (tree.root / CONFIG).read_text() == "home: [192.0.2.0/24]\n"
    take_away(System(tree.root, running=False), purge=True)
    assert not (tree.root / CONFIG).parent.exists()


def test_files_that_others_put_beside_the_configuration_stay(tree: Tree) -> None:
    placed(tree, service_files(PROGRAM))
    mine = tree.root / "etc/portsentry-py/mine"
    mine.touch()
    take_away(System(tree.root, running=False), purge=True)
    assert list(mine.parent.iterdir()) == [mine]
