"""`run`: the sensor on live traffic."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from portsentry_py.capture.toolchain import TsharkTrial, find_tools
from portsentry_py.cli.options import command, config_option, option
from portsentry_py.cli.say import say
from portsentry_py.config.loader import load
from portsentry_py.config.settings import DEFAULT_LOG, Settings
from portsentry_py.sensor.cycles import look_rarely


@command()
@config_option
@option(
    "-i",
    "--iface",
    multiple=True,
    show_default="every interface, as `check` lists them",
    help="Interface to watch; may be repeated. `any` watches all.",
)
@option("--log", show_default=f"`log` of the configuration, {DEFAULT_LOG}", help="Event log; `-` is standard output.")
def run(config: Path | None, iface: tuple[str, ...], log: str | None) -> None:
    """Watch live traffic and log events until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again.
    """

    def settings() -> Settings:
        loaded = load(config)
        return replace(loaded, interfaces=iface or loaded.interfaces, log=log or loaded.log)

    look_rarely()
    with closing(TsharkTrial(find_tools())) as trial:
        # The trial takes as long as this import.
        from portsentry_py.sensor.assembly import run_sensor  # noqa: PLC0415 - said above

        run_sensor(settings, trial.result, announce=lambda text: say(text, err=True))
