"""The command with as much patience for fail2ban's client as a busy machine needs: a Python that starts."""

PATIENCE = """\
import importlib
for name in ("fail2ban.jails", "fail2ban.unban", "checks.jail", "checks.drill.hints"):
    importlib.import_module(f"portsentry_py.{name}")._TIMEOUT_SECONDS = 60
"""
PATIENT_RUN = ("-c", f"{PATIENCE}from portsentry_py.cli.main import main\nmain()\n")
