"""Every scenario by its name, out of the files of this folder."""

from tests.scenarios.families import (
    floods,
    forgeries,
    innocents,
    known,
    networks,
    nmap,
    outgoing,
    questions,
    scans,
    solicited,
    traps,
)
from tests.scenarios.scenario import Scenario

SCENARIOS = {
    one.name: one
    for family in (scans, nmap, traps, innocents, known, networks, outgoing, questions, solicited, forgeries, floods)
    for one in vars(family).values()
    if isinstance(one, Scenario)
}
