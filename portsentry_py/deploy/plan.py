"""Which steps install the service, and which remove it, on a given system."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from portsentry_py.deploy import accounts, fleet, jail, program, proof, service_files, unit
from portsentry_py.deploy.files import remove, restore_owner_later
from portsentry_py.deploy.program import Program
from portsentry_py.deploy.step import Step
from portsentry_py.deploy.system import UNIT, System, run
from portsentry_py.fail2ban.ban_test import TEST_ADDRESS
from portsentry_py.fail2ban.firewall import BanAction
from portsentry_py.fail2ban.installer import MANIFEST
from portsentry_py.fail2ban.pack import ETC, FLEET_LOG, LOG, PackFile
from portsentry_py.fail2ban.placing import Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, and what they find: the outcome of each file, in the order in which they were written."""

    steps: list[Step]
    outcomes: list[Outcome] = field(default_factory=list)


def install(system: System, found: Program, ban_action: BanAction | None, credentials: Path | None = None) -> Plan:
    """Everything that the services need; without a ban action, no jail; without credentials, no fleet."""
    plan, in_fleet = Plan([]), credentials is not None
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
    if credentials is not None:
        steps += _prepare_fleet(system, found, credentials, plan)
    if ban_action is not None:
        text = f"write the jails to /{ETC}; they ban with {ban_action.reason}"
        steps.append(Step(text, lambda undo: _place_jails(system, ban_action.setting, plan, undo, fleet=in_fleet)))
    steps.append(Step("let the service start at boot", lambda undo: unit.enable(system, undo)))
    if in_fleet:
        steps.append(Step("let the services of the fleet start at boot", lambda undo: fleet.enable(system, undo)))
    if system.running:
        steps += _start(found, ban_action, in_fleet=in_fleet)
    if not in_fleet and fleet.is_there(system):
        # The last one, because nothing undoes it.
        text = "remove the services of the fleet, which is off in the configuration"
        steps.append(Step(text, lambda _: plan.outcomes.extend(fleet.take_away(system))))
    return plan


def uninstall(system: System, *, purge: bool) -> Plan:
    """Takes away what `install` brought; the configuration, if changed, and the log stay unless `purge`.

    Raises:
        InstallError: a package brought it.
    """
    system.must_be_ours()
    plan = Plan([])
    steps = [
        Step("stop the services", lambda _: _stop(system)),
        Step("remove the jails", lambda _: plan.outcomes.extend(jail.take_away(system))),
        Step("remove the files", lambda _: plan.outcomes.extend(service_files.take_away(system, purge=purge))),
        Step("remove the state", lambda _: _remove_state(system, plan)),
        Step("remove the logs" if purge else f"keep the log /{LOG}", lambda _: _leave_logs(system, plan, purge=purge)),
        Step("remove the user and its groups", lambda _: accounts.remove(system)),
        Step("remove the program", lambda _: _remove_program(system, plan)),
    ]
    if system.running:
        forget = (UNIT, *service_files.FLEET_UNITS)
        steps.insert(3, Step("let systemd forget the units", lambda _: unit.forget(*forget)))
    return Plan(steps, plan.outcomes)


def _file(system: System, file: PackFile, plan: Plan) -> Step:
    def do(undo: ExitStack) -> None:
        plan.outcomes.append(service_files.place(system, file, undo))

    return Step(f"write /{file.target}", do)


def _prepare_fleet(system: System, found: Program, credentials: Path, plan: Plan) -> list[Step]:
    files = service_files.fleet_files(found.path)
    if system.packaged:  # it brought the units, but no file that makes a log at each boot
        files = [file for file in files if file.target == service_files.FLEET_TMPFILES]
    return [
        *(_file(system, file, plan) for file in files),
        Step(
            f"give {credentials} to the user {accounts.USER}", lambda undo: fleet.hand_over(system, credentials, undo)
        ),
        Step(
            f"make the log /{FLEET_LOG}", lambda undo: _make_log(system, undo, FLEET_LOG, service_files.FLEET_TMPFILES)
        ),
    ]


def _start(found: Program, ban_action: BanAction | None, *, in_fleet: bool) -> Iterator[Step]:
    yield Step("start the service", unit.restart)
    if in_fleet:
        yield Step("start the services of the fleet", fleet.restart)
    yield Step("prove that it receives packets (check --live)", lambda _: proof.sees(found.path))
    if ban_action is not None:
        yield Step(f"prove that a ban of {TEST_ADDRESS} reaches the kernel", lambda _: proof.bans())


def _place_jails(system: System, ban_action: str, plan: Plan, undo: ExitStack, *, fleet: bool) -> None:
    plan.outcomes.extend(jail.place(system, ban_action, undo, fleet=fleet))


def _stop(system: System) -> None:
    for name in (*reversed(service_files.FLEET_UNITS), UNIT):
        unit.take_away(system, name)


def _remember(system: System, undo: ExitStack) -> None:
    """The services make their state as soon as they run."""
    state = (system.root / MANIFEST).parent
    if not state.exists():
        undo.callback(remove, state)
    fleet.remember(system, undo)
    unit.restart_later(undo)


def _make_log(system: System, undo: ExitStack, log: str = LOG, tmpfiles: str = service_files.TMPFILES) -> None:
    restore_owner_later(undo, system.root / log)
    run("systemd-tmpfiles", "--create", f"--root={system.root}", system.root / tmpfiles)


def _kept_jail(plan: Plan) -> bool:
    return any(outcome.action == "kept" and "fail2ban" in outcome.path.parts for outcome in plan.outcomes)


def _remove_state(system: System, plan: Plan) -> None:
    """Jail files that stay keep the manifest that tells them from the operator's."""
    remove(system.root / fleet.STATE)
    manifest = system.root / MANIFEST
    folder = manifest.parent
    if not _kept_jail(plan):
        remove(folder)
    elif folder.is_dir():
        for path in folder.iterdir():
            if path != manifest:
                remove(path)


def _leave_logs(system: System, plan: Plan, *, purge: bool) -> None:
    """fail2ban before 1.1.1 does not start while a jail that stays, or one of portsentry 2.x, has no log."""
    kept = _kept_jail(plan)
    for name, is_needed in ((LOG, kept or jail.another_reads_the_log(system)), (FLEET_LOG, kept)):
        log = system.root / name
        for path in log.parent.glob(f"{log.name}*"):
            if purge and not is_needed:
                remove(path)
            else:
                path.chmod(0o640)
                run("chown", "-h", "root:adm", path)


def _remove_program(system: System, plan: Plan) -> None:
    plan.outcomes.extend(Outcome(path, "removed") for path in program.take_away(system))
    remove(system.root / service_files.RECORDS)
