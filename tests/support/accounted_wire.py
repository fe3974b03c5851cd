"""A simulated kernel, dumpcap and tshark whose every packet is known, and the account of their losses."""

from portsentry_py.capture.loss import LossAccounting
from tests.support.build import START_US

SETTLED_SECONDS = 15.0  # fourteen while no line has come, and what rounding takes


def wall(now: float) -> float:
    """The packets' clock."""
    return START_US / 1e6 + now


def lines(*moments: float) -> list[str]:
    """What tshark prints of packets of these moments."""
    return [f"{wall(moment):.6f}\tx" for moment in moments]


class Wire:
    """The truth: a kernel that counts every packet, and a capture that has, loses or delivers it."""

    def __init__(self, loss: LossAccounting | None = None) -> None:
        self.loss = loss or LossAccounting()
        self.now = 0.0
        self.passed = self.received = self.lost = 0
        self.queue: list[float] = []  # when those passed that the capture has and tshark has not printed
        self.runs = False
        self.dropped = 0  # of the capture that runs, as dumpcap will report
        self.starts()

    def count(self) -> None:
        """Read the counter."""
        self.loss.update_count(self.now, self.passed)

    def wait(self, seconds: float) -> None:
        """Let seconds pass, and read the counter."""
        self.now += seconds
        self.count()

    def settle(self) -> None:
        """Wait until nothing more can arrive."""
        self.wait(0)
        self.wait(SETTLED_SECONDS)

    def passes(self, count: int) -> None:
        """Let packets pass; a running capture has them."""
        self.now += 0.001
        self.passed += count
        if self.runs:
            self.queue += [self.now] * count
        else:
            self.lost += count

    def drops(self, count: int) -> None:
        """Let packets pass that the capture drops."""
        self.now += 0.001
        self.passed += count
        self.lost += count
        self.dropped += count

    def vanish(self, count: int) -> None:
        """Lose packets that the capture had; dumpcap does not report them."""
        gone = min(count, len(self.queue))
        del self.queue[:gone]
        self.lost += gone

    def delivers(self, count: int) -> None:
        """Print some packets."""
        some, self.queue = self.queue[:count], self.queue[count:]
        if some:
            self.count()
        self.loss.add_lines(self.now, lines(*some))
        self.received += len(some)

    def starts(self, early: int = 0) -> None:
        """Start another capture; `early` packets pass before the accounting knows."""
        self.runs = True
        if early:
            self.passes(early)
        self.now += 0.001
        self.count()
        self.loss.capture_started(self.now, wall(self.now))

    def is_taken_over(self, delivers: int) -> None:
        """End the capture while another one runs, which has what this one has not delivered."""
        self.delivers(delivers)
        self.count()
        self.loss.capture_ended(self.dropped, taken_over=True)
        self.dropped = 0

    def ends(self, delivers: int, *, reports: bool = True) -> None:
        """Deliver some packets and end with the rest; dumpcap reports its drops, or was killed."""
        self.delivers(delivers)
        self.vanish(len(self.queue))
        self.count()
        self.loss.capture_ended(self.dropped if reports else 0)
        self.dropped = 0
        self.runs = False

    @property
    def account(self) -> tuple[int, int, int, int]:
        """Received, dropped, missed and pending."""
        loss = self.loss
        return loss.received, loss.dropped, loss.missed, loss.pending

    @property
    def accounted_losses(self) -> int:
        """All losses in the account."""
        return self.loss.dropped + self.loss.missed
