"""The score statistic of two proportions under a supposed difference or ratio, and its inversion.

The variance is taken where the likelihood is largest among proportions that differ as supposed;
N / (N - 1) makes it unbiased. Source: Miettinen, Nurminen (Statistics in Medicine 4, 1985);
closed forms as in Farrington, Manning (Statistics in Medicine 9, 1990).
"""

from collections.abc import Callable
from math import acos, cos, inf, pi, sqrt

STEPS = 200
"""Halvings of a search: more than a double has bits, from any bracket."""


def difference_score(
    n_control: int, x_control: int, n_treatment: int, x_treatment: int, delta: float
) -> float:
    """z of "treatment - control = delta"; falls as delta rises."""
    total, events = n_control + n_treatment, x_control + x_treatment
    # The likelihood's derivative, as a cubic in the control's proportion.
    a = total
    b = (n_treatment + 2 * n_control) * delta - total - events
    c = (n_control * delta - total - 2 * x_control) * delta + events
    d = x_control * delta * (1 - delta)
    u = b / (3 * a)
    v = u**3 - b * c / (6 * a * a) + d / (2 * a)
    w = sqrt(max(u * u - c / (3 * a), 0.0))
    w = w if v > 0 else -w
    angle = 0.0 if w == 0 else (pi + acos(min(max(v / w**3, -1.0), 1.0))) / 3
    control = min(max(2 * w * cos(angle) - u, 0.0, -delta), 1.0, 1.0 - delta)
    treatment = min(max(control + delta, 0.0), 1.0)
    gap = x_treatment / n_treatment - x_control / n_control - delta
    variance = _variance(treatment, n_treatment) + _variance(control, n_control)
    return _scored(gap, variance * total / (total - 1))


def ratio_score(
    n_control: int, x_control: int, n_treatment: int, x_treatment: int, ratio: float
) -> float:
    """z of "treatment = ratio x control", ratio > 0; falls as the ratio rises."""
    total, events = n_control + n_treatment, x_control + x_treatment
    a = total * ratio
    b = -(n_treatment * ratio + x_treatment + n_control + x_control * ratio)
    # The smaller root of a p**2 + b p + events, written without cancellation.
    control = min(2 * events / (-b + sqrt(max(b * b - 4 * a * events, 0.0))), 1.0, 1.0 / ratio)
    gap = x_treatment / n_treatment - ratio * x_control / n_control
    variance = _variance(ratio * control, n_treatment) + ratio**2 * _variance(control, n_control)
    return _scored(gap, variance * total / (total - 1))


def solved(
    falling: Callable[[float], float], target: float, *, between: tuple[float, float]
) -> float:
    """Where a falling function meets a target: a bound of the bracket if it does not within.

    Halves the bracket, by ratio where both ends are positive: a bound may be nearly 0.
    """
    low, high = between
    for _ in range(STEPS):
        middle = sqrt(low * high) if low > 0 and high > 4 * low else (low + high) / 2
        if middle in (low, high):
            break
        if falling(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _variance(share: float, n: int) -> float:
    return max(share * (1 - share), 0.0) / n


def _scored(gap: float, variance: float) -> float:
    if gap == 0:
        return 0.0
    if variance <= 0:
        return inf if gap > 0 else -inf
    return gap / sqrt(variance)
