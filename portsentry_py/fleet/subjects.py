"""The subjects of the broker, and the stream that keeps the latest message of each."""

STREAM = "PSP"
ROSTER = "psp.roster"
_BAN, _STATE, _SEEN = "psp.ban.", "psp.state.", "psp.seen."
# One subscription, because the messages of a host must stay in order.
LISTEN = "psp.>"
KEPT = (f"{_STATE}*", ROSTER)
_GET = f"$JS.API.DIRECT.GET.{STREAM}."


def ban_subject(name: str) -> str:
    """Where a host publishes its live bans."""
    return _BAN + name


def state_subject(name: str) -> str:
    """Where a host publishes its list."""
    return _STATE + name


def seen_subject(name: str) -> str:
    """Where a host publishes who asked it in vain."""
    return _SEEN + name


def get_subject(kept: str) -> str:
    """Where a host asks for the message that the stream kept of a subject."""
    return _GET + kept


def inbox(name: str) -> str:
    """The beginning of the subjects on which a host gets answers: no other host may read them."""
    return f"_INBOX_{name}"


def host_of(subject: str) -> tuple[str, str]:
    """Kind and host of a subject: `ban`, `state` or `seen`, or `roster` and nobody."""
    _, kind, *names = subject.split(".")
    return kind, names[0] if names else ""


def host_permissions(name: str) -> tuple[list[str], list[str]]:
    """What a host may publish and what it may read: exact lists, because versions of NATS had holes in `deny`."""
    gets = [get_subject(kept) for kept in KEPT]
    return [ban_subject(name), state_subject(name), seen_subject(name), *gets], [LISTEN, f"{inbox(name)}.>"]


def operator_permissions() -> tuple[list[str], list[str]]:
    """The same of the operator, who makes the stream and publishes the roster."""
    calls = [f"$JS.API.STREAM.{call}.{STREAM}" for call in ("CREATE", "UPDATE", "INFO")]
    return [ROSTER, *calls], [f"{inbox(OPERATOR)}.>"]


OPERATOR = "operator"
"""No host can have this name."""
