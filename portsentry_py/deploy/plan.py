"""Which steps install the service, and which remove it, on a given system."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from portsentry_py.deploy import accounts, jail, program, proof, service_files, unit
from portsentry_py.deploy.files import remove, restore_owner_later
from portsentry_py.deploy.program import Program
from portsentry_py.deploy.step import Step
from portsentry_py.deploy.system import System, run
from portsentry_py.fail2ban.ban_test import TEST_ADDRESS
from portsentry_py.fail2ban.firewall import BanAction
from portsentry_py.fail2ban.installer import MANIFEST
from portsentry_py.fail2ban.pack import ETC, LOG, PackFile
from portsentry_py.fail2ban.placing import Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, and what they find: the outcome of each file, in the order in which they were written."""

    steps: list[Step]
    outcomes: list[Outcome] = field(default_factory=list)


def install(system: System, found: Program, ban_action: BanAction | None) -> Plan:
    """Everything that the service needs; without a ban action, no jail."""
    plan = Plan([])
    steps = plan.steps
    if system.running:
        steps.append(Step("look whether the service runs", lambda undo: _remember(system, undo)))
    if found.copied:
        steps.append(Step(f"copy the program to /{program.COPY}", lambda undo: program.copy(system, undo)))
    if found.path.parent not in {Path("/usr/bin"), Path("/usr/local/bin")}:
        steps.append(Step(f"link /{program.LINK}", lambda undo: program.link(system, found, undo)))
    if not system.packaged:
        steps += [_file(system, file, plan) for file in service_files.service_files(found.path)]
        steps.append(Step("make the user and its groups", lambda undo: accounts.create(system, undo)))
        steps.append(Step(f"make the log /{LOG}", lambda undo: _make_log(system, undo)))
    if ban_action is not None:
        text = f"write the jails to /{ETC}; they ban with {ban_action.reason}"
        steps.append(Step(text, lambda undo: plan.outcomes.extend(jail.place(system, ban_action.setting, undo))))
    steps.append(Step("let the service start at boot", lambda undo: unit.enable(system, undo)))
    if system.running:
        steps.append(Step("start the service", unit.restart))
        steps.append(Step("prove that it receives packets (check --live)", lambda _: proof.sees(found.path)))
    if system.running and ban_action is not None:
        steps.append(Step(f"prove that a ban of {TEST_ADDRESS} reaches the kernel", lambda _: proof.bans()))
    return plan


def uninstall(system: System, *, purge: bool) -> Plan:
    """Takes away what `install` brought; the configuration, if changed, and the log stay unless `purge`.

    Raises:
        InstallError: a package brought it.
    """
    system.must_be_ours()
    plan = Plan([])
    steps = [
        Step("stop the service", lambda _: unit.take_away(system)),
        Step("remove the jails", lambda _: plan.outcomes.extend(jail.take_away(system))),
        Step("remove the files", lambda _: plan.outcomes.extend(service_files.take_away(system, purge=purge))),
        Step("remove the state", lambda _: _remove_state(system, plan)),
        Step("remove the log" if purge else f"keep the log /{LOG}", lambda _: _leave_log(system, plan, purge=purge)),
        Step("remove the user and its groups", lambda _: accounts.remove(system)),
        Step("remove the program", lambda _: _remove_program(system, plan)),
    ]
    if system.running:
        steps.insert(3, Step("let systemd forget the unit", lambda _: unit.forget()))
    return Plan(steps, plan.outcomes)


def _file(system: System, file: PackFile, plan: Plan) -> Step:
    def do(undo: ExitStack) -> None:
        plan.outcomes.append(service_files.place(system, file, undo))

    return Step(f"write /{file.target}", do)


def _remember(system: System, undo: ExitStack) -> None:
    """The service makes its state as soon as it runs."""
    state = (system.root / MANIFEST).parent
    if not state.exists():
        undo.callback(remove, state)
    unit.restart_later(undo)


def _make_log(system: System, undo: ExitStack) -> None:
    restore_owner_later(undo, system.root / LOG)
    run("systemd-tmpfiles", "--create", f"--root={system.root}", system.root / service_files.TMPFILES)


def _kept_jail(plan: Plan) -> bool:
    return any(outcome.action == "kept" and "fail2ban" in outcome.path.parts for outcome in plan.outcomes)


def _remove_state(system: System, plan: Plan) -> None:
    """Jail files that stay keep the manifest that tells them from the operator's."""
    manifest = system.root / MANIFEST
    folder = manifest.parent
    if not _kept_jail(plan):
        remove(folder)
    elif folder.is_dir():
        for path in folder.iterdir():
            if path != manifest:
                remove(path)


def _leave_log(system: System, plan: Plan, *, purge: bool) -> None:
    """fail2ban before 1.1.1 does not start while a jail that stays, or one of portsentry 2.x, has no log."""
    log = system.root / LOG
    kept = _kept_jail(plan) or jail.another_reads_the_log(system)
    for path in log.parent.glob(f"{log.name}*"):
        if purge and not kept:
            remove(path)
        else:
            path.chmod(0o640)
            run("chown", "-h", "root:adm", path)


def _remove_program(system: System, plan: Plan) -> None:
    plan.outcomes.extend(Outcome(path, "removed") for path in program.take_away(system))
    remove(system.root / service_files.RECORDS)
