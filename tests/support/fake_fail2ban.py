"""A fail2ban server that gives prepared answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portsentry_py.errors import PortsentryError
from portsentry_py.fail2ban.client import Fail2banClient

Answer = str | PortsentryError


@dataclass(frozen=True)
class FakeClient(Fail2banClient):
    """Stands in for the client; `answers` holds what each command returns or raises."""

    answers: Mapping[str, Answer] = field(default_factory=dict)

    def ask(self, *words: str, timeout_seconds: float = 60) -> str:
        assert timeout_seconds > 0
        answer = self.answers[" ".join(words)]
        if isinstance(answer, PortsentryError):
            raise answer
        return answer


@dataclass(frozen=True)
class JailsClient(Fail2banClient):
    """Stands in for a client whose server has these jails; `held` has what each bans."""

    held: dict[str, set[str]] = field(default_factory=dict)

    def ask(self, *words: str, timeout_seconds: float = 60) -> str:
        assert timeout_seconds > 0
        match words:
            case ("status",):
                return f"Status\n`- Jail list:\t{', '.join(self.held)}"
            case ("get", jail, "banip"):
                return " ".join(sorted(self.held[jail]))
            case ("set", jail, "unbanip", address):
                self.held[jail].discard(address)
                return "1"
        raise AssertionError(words)
