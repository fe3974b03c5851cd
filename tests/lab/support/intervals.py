"""How sure a share is: exact (Clopper-Pearson) 95 % intervals of the binomial distribution."""

from collections.abc import Callable
from math import exp, lgamma, log, log1p

_CONFIDENCE = 0.95
_BISECTIONS = 60  # more than a float has bits


def interval(hits: int, trials: int) -> tuple[float, float]:
    """The two-sided interval (Clopper and Pearson, Biometrika 1934) of the share that `hits` of `trials` estimate."""
    tail = (1 - _CONFIDENCE) / 2
    return _lowest(hits, trials, tail), _highest(hits, trials, tail)


def upper_bound(hits: int, trials: int) -> float:
    """The one-sided bound: a higher share has so few hits in 5 % of the cases. Without a hit it is about 3 / trials."""
    return _highest(hits, trials, 1 - _CONFIDENCE)


def share(hits: int, trials: int) -> str:
    """The count, and its interval in percent."""
    if not trials:
        return str(hits)
    low, high = interval(hits, trials)
    return f"{hits} ({100 * low:.1f} to {100 * high:.1f} %)"


def _lowest(hits: int, trials: int, tail: float) -> float:
    return 0.0 if not hits else _crossing(lambda share: 1 - _at_most(hits - 1, trials, share) < tail)


def _highest(hits: int, trials: int, tail: float) -> float:
    return 1.0 if hits == trials else _crossing(lambda share: _at_most(hits, trials, share) > tail)


def _crossing(is_below: Callable[[float], bool]) -> float:
    """The share at which a condition, true for small ones, ends."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _at_most(hits: int, trials: int, share: float) -> float:
    """The probability of that many hits or fewer."""
    every = lgamma(trials + 1)
    return sum(
        exp(every - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(share) + (trials - k) * log1p(-share))
        for k in range(hits + 1)
    )
