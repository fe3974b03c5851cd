"""Who came, counted by the host's kernel before any firewall: addresses, TCP connections, packets."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.ordinary.population import Population
from tests.support.namespaces import Host

_TABLE = "ordinary"
_SYN = "tcp flags & (syn | ack) == syn"


@dataclass(frozen=True)
class Account:
    """What was counted of one population, both directions."""

    addresses: frozenset[str]
    connections: int
    packets: int


class Accounts:
    """Rules that count and let everything pass."""

    def __init__(self, host: Host, folder: Path, populations: Sequence[Population]) -> None:
        self._host = host
        self._populations = populations
        rules = folder / "accounts.nft"
        rules.write_text("\n".join(self._rules()) + "\n")
        done = host.run("nft", "-f", rules)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def read(self) -> dict[str, Account]:
        listed = self._host.run("nft", "--json", "list", "table", "inet", _TABLE)
        entries: list[dict[str, Any]] = json.loads(listed.stdout)["nftables"]
        counters = {entry["counter"]["name"]: entry["counter"]["packets"] for entry in entries if "counter" in entry}
        sets = {entry["set"]["name"]: _addresses(entry["set"]) for entry in entries if "set" in entry}
        return {
            one.name: Account(sets[f"a{n}v4"] | sets[f"a{n}v6"], counters[f"c{n}"], counters[f"p{n}"])
            for n, one in enumerate(self._populations)
        }

    def _rules(self) -> Iterator[str]:
        yield f"table inet {_TABLE} {{"
        for n in range(len(self._populations)):
            yield f"counter p{n} {{}}\ncounter c{n} {{}}"
            for family in ("v4", "v6"):
                yield f"set a{n}{family} {{ type ip{family}_addr; size 65535; flags dynamic; }}"
        for hook, ours, end in (("prerouting", False, "saddr"), ("output", True, "daddr")):
            yield f"chain {hook} {{ type filter hook {hook} priority -400;"
            yield 'iifname "lo" accept' if not ours else 'oifname "lo" accept'
            for n, one in enumerate(self._populations):
                for network in one.networks:
                    family, suffix = ("ip6", "v6") if ":" in network else ("ip", "v4")
                    whose = f"{family} {end} {network}"
                    yield f"{whose} counter name p{n}"
                    yield f"{whose} {_SYN} counter name c{n}"
                    if not ours:
                        yield f"{whose} add @a{n}{suffix} {{ {family} {end} }}"
            yield "}"
        yield "}"


def _addresses(listed: dict[str, Any]) -> frozenset[str]:
    return frozenset(str(element) for element in listed.get("elem", []))
