"""What is expected of each attack, by patterns of names. Tune the rules against this table."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from portsentry_py.config.settings import Settings
from tests.lab.attacks.attack import Attack
from tests.lab.attacks.classes.forgeries import LEAST, SEQUENCES
from tests.lab.attacks.expectation import (
    ALWAYS,
    BANNED,
    BANNED_IF_ANSWERED,
    NAMED,
    NAMED_IF_ANSWERED,
    NO_ALARM,
    NOT_EXEMPT,
    NOT_NAMED,
    PROVEN,
    SPARED,
    Property,
    fact,
    fact_at_most,
    forged_needs,
    innocents_at_most,
    lines_at_most,
    spares,
    speaks_within,
)

PORT_SCAN = 8
"""What makes a port scan; a forged one needs no less."""
AT_ONCE = 7.5
"""Seconds within which a scanner is named again that gets answers although it was reported with `ban`.

Five between two lines, two until the answer is noticed.
"""
_BANS = Settings().bans
A_MINUTE = 11 * _BANS.unverified_per_minute
"""Unverified bans of innocents in the first minute, at most: the budget, ten minutes' worth of it at once."""
A_NETWORK = 11 * _BANS.network_per_minute
"""The same for the innocents of one network."""

EXPECTED: Mapping[str, tuple[Property, ...]] = {
    # The suite itself: plain scans and ordinary use.
    "control-*": (BANNED, SPARED),
    "control-*use-*": (NOT_NAMED,),
    "control-*ask": (NOT_NAMED,),
    # Trust 1: only packets that left this host speak for it.
    "own-*": (BANNED,),
    "own-refusal-*": (SPARED,),
    "own-proof-*": (forged_needs(PORT_SCAN),),
    "own-outbound-*": (NO_ALARM,),
    "own-errors-about-others": (BANNED, SPARED),
    "own-echo-replies": (),  # of a network behind this host, a capture file does not tell who sent what
    # Trust 1: what is inside a tunnel never teaches, proves, exempts or sets a doubt.
    "tunnel-teach-*": (BANNED,),
    "tunnel-frame-*": (SPARED,),
    # Of the link, not of a host: who can send such a frame to the victim can forge plain packets there.
    "tunnel-frame-pppoe-*": (forged_needs(PORT_SCAN),),
    "tunnel-doubt*": (BANNED,),
    "tunnel-half-*": (BANNED,),
    "tunnel-friend-*": (BANNED,),
    "tunnel-udp-*": (BANNED,),
    "tunnel-proof-*": (SPARED,),
    "tunnel-proof-outside-*": (forged_needs(PORT_SCAN),),
    "tunnel-alarm-*": (NO_ALARM,),
    "tunnel-resolver-*": (BANNED,),
    "tunnel-ntp-*": (BANNED,),
    "tunnel-dhcp-*": (BANNED,),
    "tunnel-evict-resolver": (SPARED,),
    "tunnel-evict-own-flows": (SPARED,),
    "tunnel-evict-ports": (BANNED,),
    "tunnel-live-*": (BANNED, SPARED),
    "tunnel-protocols": (BANNED,),
    # Trust 2: what this host refuses is evidence, whatever the way in was.
    "hidden-*": (BANNED_IF_ANSWERED,),
    "hidden-udp-from-53-*": (NAMED_IF_ANSWERED,),  # perhaps a reflector: `watch` will do
    "hidden-udp-from-123-*": (NAMED_IF_ANSWERED,),
    "hidden-udp-from-53-to-low*": (BANNED_IF_ANSWERED,),
    "hidden-connect-each-another-ttl": (BANNED, PROVEN),
    "hidden-segment-syn-ack-*": (),  # backscatter of a flood in our name; a stack's RST tells nothing of the port
    "hidden-ttl-traceroute-udp*": (),  # a measurement of the path looks the same
    # tshark before 4.2 shows too little of what an ICMPv6 error quotes.
    "hidden-extension-udp-*": (),
    "hidden-link-local": (NAMED,),  # a neighbour's ban by its link-local address would be no use
    "hidden-stock-nmap-udp-g-53": (NAMED_IF_ANSWERED,),
    # Trust 3: silence proves nothing, and only our own sequence number does.
    "proof-*": (),
    "proof-blind-*": (forged_needs(PORT_SCAN),),
    "proof-blind-trap-*": (forged_needs(2),),
    # A raw SYN scanner's own kernel resets as the innocent's does: no more is needed than for a closed trap.
    "proof-reset-by-innocent": (forged_needs(2),),
    "proof-no-repetition": (SPARED,),
    "proof-cookies-*-trap*": (SPARED,),
    "proof-cookies-scan-*": (innocents_at_most(A_MINUTE),),
    "proof-friend-*": (BANNED,),
    "proof-closed-without-answer": (BANNED,),
    # Trust 5: doubt is a share of the current evidence and ages.
    "doubt-*": (BANNED,),
    "doubt-own-twin-always-*": (NAMED,),  # nobody can tell which of two twins is forged
    "doubt-copied-probe-*": (BANNED, SPARED),
    "doubt-copied-always-*": (NAMED, SPARED),
    "doubt-copied-other-hops-*": (NAMED, SPARED),
    "doubt-twin-next-door-*": (BANNED, SPARED),
    "doubt-crowd": (NAMED,),  # bans 14: many that look like one sender get `watch`
    "doubt-ten-days-then-100*": (NAMED,),  # bans 14: whom others use over days is watched ...
    "doubt-ten-days-then-hours": (BANNED,),  # ... for as long as a forger would go on
    "doubt-neighbour-days": (NAMED,),
    "doubt-resolved": (NAMED,),  # the benefit of doubt, for a while
    "doubt-live-idle-to-the-end": (NAMED,),
    "doubt-live-nmap-decoys*": (NAMED, SPARED),
    # Trust 4: roles are configured, not acquired.
    "role-*": (BANNED,),
    "role-asked-for-days": (NAMED, NOT_EXEMPT),  # as well known as a guest of ten days
    "role-asked-from-many-ports": (NAMED, NOT_EXEMPT),
    "role-late-packets": (),  # nothing is learned: Linux refuses them all alike
    "role-live-sshd-*": (NAMED, NOT_EXEMPT),  # trust 15: who is logged in, not who holds a socket
    "role-live-sshd-closed": (BANNED,),
    # Trust 6: for IPv6 the source is the /64; evidence 16: many sources of one network.
    "hop-64*": (BANNED,),
    "hop-56*": (NAMED,),
    "hop-56-slow": (),  # fewer ports in ten minutes than make a distributed scan
    "hop-48*": (NAMED,),
    "hop-two-networks": (BANNED,),
    "hop-64-friend-first": (NAMED,),
    "hop-nat64": (BANNED, SPARED),  # its /64 is all of IPv4
    "hop-nat64-forged": (forged_needs(PORT_SCAN), spares("64:ff9b::c000:20a")),
    "hop-v4-one-24*": (BANNED,),
    "hop-v4-143-networks*": (),  # IPv4 offers nothing that joins them; a status alarm at most
    "hop-v4-patient-10-a-second": (BANNED,),
    "hop-v4-patient-an-hour": (BANNED,),
    "hop-v4-patient-12-hours": (),  # beyond the memory of three days
    "hop-v4-patient-mixed": (),  # below every threshold on purpose
    # Bans 14 and evidence 11: what a forger needs for one innocent, and how many it gets a minute.
    **{f"innocent-stranger-{name}-v?": (forged_needs(LEAST.get(name, PORT_SCAN)),) for name in SEQUENCES},
    "innocent-guest-*": (forged_needs(PORT_SCAN),),
    "innocent-friend-*": (SPARED,),
    "innocent-our-server-*": (SPARED,),
    # Trust 4: a server that was merely asked has no standing; for an hour, its datagrams are watched.
    "innocent-asked-for-days-*": (forged_needs(PORT_SCAN),),
    "innocent-asked-for-days-tcp-two-traps-*": (forged_needs(2),),
    # One server's answers to forged questions look as a scan from its port does (`nmap -sU -g 53`).
    "innocent-reflection-ports": (forged_needs(16),),
    "innocent-live-connected": (),  # one connection excuses 64 probes: a scanner can hold one, too
    "innocent-slow-*": (forged_needs(7),),
    "innocent-members-strange-v4": (forged_needs(16),),
    "innocent-members-strange-v6": (forged_needs(PORT_SCAN),),  # a /64 is one source
    "innocent-members-friendly-v4": (forged_needs(16),),
    "innocent-members-friendly-v6": (SPARED,),
    "innocents-a-minute-*": (innocents_at_most(A_MINUTE),),
    "innocents-a-minute-udp-two-traps-*": (innocents_at_most(0),),
    "innocent-browser-first-visit": (),  # it did ask for them, and proved its address
    "innocent-browser-of-a-friend": (SPARED,),
    "innocent-crawler": (SPARED,),
    "innocent-reflection-*": (SPARED,),
    "innocent-nobody-*": (SPARED,),
    "innocent-live-*": (SPARED,),
    # Section 3: a banned source that gets answers is not banned, and the next line comes at once.
    "outlive-*": (speaks_within(AT_ONCE),),
    "outlive-second-address": (speaks_within(AT_ONCE),),
    "outlive-no-jail": (BANNED, lines_at_most(80)),
    "outlive-no-jail-ten-minutes": (BANNED, lines_at_most(30)),
    "outlive-forged-answers": (BANNED, lines_at_most(12)),
    "outlive-refused-by-the-ban-*": (BANNED, lines_at_most(12)),
    "outlive-late-answers": (BANNED, lines_at_most(6)),
    "outlive-slow-then-silence": (BANNED,),
    "outlive-live-ban-ends": (BANNED, fact_at_most("ports scanned", "1,000 ports at most before the next ban", 1_000)),
    "outlive-live-refusals": (BANNED, lines_at_most(6)),
    "outlive-live-container": (BANNED, fact("told", "told again, or no answer")),
    "outlive-live-closed-later": (NAMED,),
    # Section 3 and bans 14, 16: tables and lines are bounded, and the least worthy goes.
    "budget-*": (BANNED,),
    # The scanner forges thousands that look like itself, so it is watched; it has a line when there is room.
    "budget-rationed": (NAMED, innocents_at_most(A_MINUTE)),
    "budget-one-second": (NAMED, innocents_at_most(A_MINUTE)),
    "budget-burned-by-many": (BANNED, innocents_at_most(A_MINUTE)),  # the strongest evidence first
    "budget-burned-by-strong": (NAMED, innocents_at_most(A_MINUTE)),
    "budget-first-packets": (NAMED,),
    "budget-traps-in-a-flood": (BANNED,),
    "budget-friend-lost": (SPARED,),
    # Ten connection lines and ten others a second, for a minute, and ten seconds' worth of both at once.
    "budget-log-*": (lines_at_most(1_400), innocents_at_most(A_MINUTE * 5)),
    "budget-live-flood-*": (BANNED, fact_at_most("seconds to the line", "a line within 5 s", 5)),
    "budget-live-jail-filled": (
        BANNED,
        fact_at_most("seconds to the ban", "a ban within 10 s", 10),
        fact_at_most("innocents banned", f"{A_MINUTE * 2} innocents at most", A_MINUTE * 2),
    ),
    # Section 1: nothing that an unprivileged local user opens can grow a filter, a command line, or a start.
    "local-*": (fact_at_most("seconds to the line", "a line within 10 s", 10),),
    "local-sockets-at-start-*": (
        fact_at_most("seconds to the start", "starts within 20 s", 20),
        fact_at_most("seconds to the line", "a line within 10 s", 10),
    ),
    "local-udp-port-for-a-scanner": (BANNED,),
    "local-thousand-tcp-ports": (BANNED,),
    # docs/security.md: what the configuration says is trusted, so nobody else may write it.
    "file-configuration-*": (fact("refused or told", "refused, or told of"),),
    "file-plugin-*": (fact("planted code ran", "it does not run", False),),
    "file-init-*": (fact("planted code ran", "it does not run", False),),
    "file-extcap-*": (fact("planted code ran", "it does not run", False),),
    "file-launcher-*": (fact("refused or told", "refused"),),
    "file-launcher-many": (fact_at_most("dumpcaps", "64 at most", 64),),
}


def expected(attack: Attack) -> tuple[Property, ...]:
    """The properties of the longest pattern that the name matches, and those of all attacks."""
    found = [pattern for pattern in EXPECTED if fnmatchcase(attack.name, pattern)]
    if not found:
        raise KeyError(f"nothing is expected of {attack.name}")
    return (*EXPECTED[max(found, key=len)], *ALWAYS)
