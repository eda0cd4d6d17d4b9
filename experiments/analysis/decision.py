"""What to do next: ship, stop, extend, or that it cannot be said; with the rule that said so.

The rules stand in `RULES`, in order, and the first that applies decides. Beside the word stand the
numbers a person weighs: what is lost on average if it is wrong, what another week of traffic would
be worth, and how much is at stake.

The value of a week more is the expected value of sample information: before the week the effect is
believed normal with variance V; the week's own data would have variance W; so the estimate after it
is normal around today's with variance V**2 / (V + W), and waiting pays where that could change the
choice. Sources: Raiffa, Schlaifer, Applied Statistical Decision Theory (1961), ch. 5; Azevedo,
Deng, Montiel Olea, Rao, Weyl (JPE 2020) for experiments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt
from typing import Final

from experiments.distributions import normal_density, normal_tail
from experiments.evidence.compare import Interval

DAYS_MAX: Final = 56
"""Longer than eight weeks more is not "extend" but another experiment."""
DAYS_LEFT_MAX: Final = 365
"""A planned sample that takes longer than a year to come is no plan to wait for."""
PERIOD_DAYS: Final = 30
"""What is at stake is said per so many days."""


class Choice(StrEnum):
    """What to do."""

    SHIP = "ship"
    STOP = "stop"
    EXTEND = "extend"
    INCONCLUSIVE = "inconclusive"
    NO_MEANINGFUL_EFFECT = "no meaningful effect"
    WAIT = "not yet"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Rule:
    """One row of the table: what must hold, and what follows."""

    name: str
    when: str
    choice: Choice


RULES: Final = (
    Rule(
        "sample ratio",
        "the variants do not have their planned shares, or a trigger is refuted",
        Choice.WITHHELD,
    ),
    Rule(
        "played otherwise",
        "what was played differs too much from what was drawn",
        Choice.WITHHELD,
    ),
    Rule("planned end", "the method's numbers hold only at its end or next look", Choice.WAIT),
    Rule("harm", "every variant with an effect harms a guardrail", Choice.STOP),
    Rule("worse", "every variant is worse than the control on a primary metric", Choice.STOP),
    Rule(
        "better",
        "a variant is better on a primary metric, worse on none, and every guardrail with a margin"
        " is shown safe",
        Choice.SHIP,
    ),
    Rule(
        "unsafe so far",
        "a variant is better, but a guardrail with a margin is not shown safe yet",
        Choice.EXTEND,
    ),
    Rule(
        "nothing that matters",
        "every effect on the primary metrics is inside the smallest lift that matters",
        Choice.NO_MEANINGFUL_EFFECT,
    ),
    Rule("time left", "the planned end or sample is not reached", Choice.EXTEND),
    Rule(
        "worth waiting",
        "up to eight weeks more are worth more than they cost, and the method may go on",
        Choice.EXTEND,
    ),
    Rule("undecided", "none of the above", Choice.INCONCLUSIVE),
)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What the rules need to know of one variant on the metric that decides, and on the others.

    Attributes:
        gain, variance: Posterior of the deciding metric's absolute gain in its good direction.
        n: Units of this variant and the control.
        is_better, is_worse: On any primary metric, after correction.
        is_harmful: On any guardrail.
        is_safe: On every guardrail that has a margin.
        is_negligible: Every primary effect is inside the smallest lift that matters.
        better_on, harmed: The metrics behind `is_better` and `is_harmful`, for the words; may be
            left out.
        is_guarded: Whether there is any guardrail.
    """

    variant: str
    gain: float
    variance: float
    n: int
    is_better: bool = False
    is_worse: bool = False
    is_harmful: bool = False
    is_safe: bool = True
    is_negligible: bool = False
    better_on: tuple[str, ...] = ()
    harmed: tuple[str, ...] = ()
    is_guarded: bool = True


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """How fast units come, and how long there is.

    Attributes:
        units_per_day: Into the compared variants together; None where nobody knows.
        days_left: Until the planned end or sample; None where none was planned, 0 once reached.
        horizon_weeks: How long a shipped change is taken to last.
        treated_share: Of the variant among itself and the control.
        may_extend: Whether the method stays valid when it goes on.
    """

    units_per_day: float | None = None
    days_left: float | None = None
    horizon_weeks: int = 52
    treated_share: float = 0.5
    may_extend: bool = True


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What more traffic is worth, in the deciding metric's units over all people.

    Attributes:
        weeks: How many; one, unless more are advised: value grows in steps, cost evenly.
        value: Expected gain from deciding with that much more data, over the horizon.
        cost: Expected loss meanwhile: those who go on getting the arm that looks worse.
    """

    weeks: int
    value: float
    cost: float

    @property
    def is_worth_it(self) -> bool:
        """Whether it brings more than it costs."""
        return self.value > self.cost


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The word, the rule behind it, and what is at stake.

    Attributes:
        variant: Which variant the word is about; "" where it is about all.
        rule: The name of the row of `RULES` that applied.
        reason: That row, with this experiment's numbers.
        days: How many more, for `extend`.
        loss_if_shipped, loss_if_kept: Expected loss per unit of shipping the variant, or of keeping
            the control, in the deciding metric's units.
        waiting: None where the traffic is unknown.
        stake: Of the deciding metric over PERIOD_DAYS if everyone got the variant; None likewise.
    """

    choice: Choice
    rule: str
    reason: str
    metric: str = ""
    variant: str = ""
    days: int | None = None
    loss_if_shipped: float | None = None
    loss_if_kept: float | None = None
    waiting: Waiting | None = None
    stake: Interval | None = None


def decide(
    arms: Sequence[Arm],
    *,
    metric: str,
    traffic: Traffic,
    smallest_lift: float | None,
    withheld: str = "",
    otherwise: str = "",
    awaited: str = "",
    lifts_abs: Mapping[str, Interval] | None = None,
) -> Decision:
    """Apply the rules.

    Args:
        arms: One per variant; none where nothing may be shown.
        metric: The deciding metric's label.
        withheld, otherwise, awaited: Why no number may be shown, where none may.
        lifts_abs: The deciding metric's absolute intervals by variant, for what is at stake.
    """
    if withheld:
        return Decision(choice=Choice.WITHHELD, rule="sample ratio", reason=withheld, metric=metric)
    if otherwise:
        return Decision(
            choice=Choice.WITHHELD, rule="played otherwise", reason=otherwise, metric=metric
        )
    if awaited:
        return Decision(choice=Choice.WAIT, rule="planned end", reason=awaited, metric=metric)
    if not arms:
        return Decision(
            choice=Choice.INCONCLUSIVE,
            rule="undecided",
            reason="no variant has data",
            metric=metric,
        )
    rule, about, reason, days = _fired(arms, traffic=traffic, smallest_lift=smallest_lift)
    leader = about or max(arms, key=lambda arm: arm.gain)
    loss_if_shipped, loss_if_kept = expected_losses(leader.gain, leader.variance)
    per_day = traffic.units_per_day
    lift = (lifts_abs or {}).get(leader.variant)
    return Decision(
        choice=next(it.choice for it in RULES if it.name == rule),
        rule=rule,
        reason=reason,
        metric=metric,
        variant=leader.variant,
        days=days,
        loss_if_shipped=loss_if_shipped,
        loss_if_kept=loss_if_kept,
        waiting=(
            value_of_waiting(
                leader, traffic=traffic, weeks=(days or 7) // 7 if rule == "worth waiting" else 1
            )
            if traffic.may_extend
            else None
        ),
        stake=_scaled(lift, per_day * PERIOD_DAYS) if lift is not None and per_day else None,
    )


def expected_losses(gain: float, variance: float) -> tuple[float, float]:
    """(of shipping, of keeping the control): E[(-gain)+] and E[gain+] under a normal posterior.

    >>> expected_losses(2.0, 0.0)
    (0.0, 2.0)
    """
    if variance <= 0:
        return max(0.0, -gain), max(0.0, gain)
    deviation = sqrt(variance)
    z = gain / deviation
    density = deviation * normal_density(z)
    return (
        max(density - gain * normal_tail(z), 0.0),
        max(density + gain * normal_tail(-z), 0.0),
    )


def value_of_waiting(arm: Arm, *, traffic: Traffic, weeks: int = 1) -> Waiting | None:
    """What so many weeks more are worth and cost; None without variance or traffic."""
    per_week = 7 * (traffic.units_per_day or 0.0)
    if arm.variance <= 0 or per_week <= 0 or arm.n <= 0:
        return None
    of_the_weeks = arm.variance * arm.n / (per_week * weeks)
    moves = arm.variance / sqrt(arm.variance + of_the_weeks)
    u = abs(arm.gain) / moves
    per_unit = moves * (normal_density(u) - u * normal_tail(u))
    shown_worse = traffic.treated_share if arm.gain < 0 else 1 - traffic.treated_share
    return Waiting(
        weeks=weeks,
        value=max(per_unit, 0.0) * per_week * traffic.horizon_weeks,
        cost=abs(arm.gain) * per_week * weeks * shown_worse,
    )


def best_wait(arm: Arm, *, traffic: Traffic) -> int:
    """Weeks (0 to 8) after which value less cost is greatest; 0 where no week pays."""
    worth = {0: 0.0}
    for weeks in range(1, DAYS_MAX // 7 + 1):
        waiting = value_of_waiting(arm, traffic=traffic, weeks=weeks)
        if waiting is not None:
            worth[weeks] = waiting.value - waiting.cost
    return max(worth, key=lambda weeks: worth[weeks])


_Fired = tuple[str, Arm | None, str, int | None]


def _fired(arms: Sequence[Arm], *, traffic: Traffic, smallest_lift: float | None) -> _Fired:
    """The rule that applies, what it is about, why, and days to go on."""
    better = [arm for arm in arms if arm.is_better and not arm.is_worse]
    harmless = [arm for arm in better if not arm.is_harmful]
    if better and not harmless:
        worst = better[0]
        said = f"{_names(better)} {_harms(better)}, whatever the gain"
        return "harm", worst, said, None
    if not harmless and all(arm.is_worse or arm.is_harmful for arm in arms):
        kind = "worse" if any(arm.is_worse for arm in arms) else "harm"
        be = "is" if len(arms) == 1 else "are"
        word = f"{be} worse than the control" if kind == "worse" else _harms(arms)
        return kind, None, f"{_names(arms)} {word}", None
    safe = [arm for arm in harmless if arm.is_safe]
    if safe:
        best = max(safe, key=lambda arm: arm.gain)
        harmless_too = " and harms no guardrail" if best.is_guarded else ""
        return "better", best, f"{best.variant} is better{_on(best)}{harmless_too}", None
    days = _days_left(traffic)
    if harmless:
        best = max(harmless, key=lambda arm: arm.gain)
        unsafe = "but a guardrail is not shown safe within its margin"
        said = f"{best.variant} is better{_on(best)}, {unsafe}"
        return "unsafe so far", best, said, min(days or 7, DAYS_MAX)
    if all(arm.is_negligible for arm in arms):
        assert smallest_lift is not None
        said = f"effects of ±{smallest_lift:.3g} or more, which would matter, are ruled out"
        return "nothing that matters", None, said, None
    if days and days <= DAYS_LEFT_MAX:
        return "time left", None, f"undecided, and {days} days of the plan are left", days
    return _waiting_or_not(arms, traffic=traffic)


def _waiting_or_not(arms: Sequence[Arm], *, traffic: Traffic) -> _Fired:
    leader = max(arms, key=lambda arm: arm.gain)
    open_still = "the effect is neither told from none nor ruled out"
    if not traffic.may_extend:
        again = "this method is read once: to know more, run it again with more units"
        return "undecided", None, f"{open_still}, and {again}", None
    weeks = best_wait(leader, traffic=traffic)
    if weeks:
        said = f"{open_still}, and {weeks} more weeks bring more than they cost"
        return "worth waiting", leader, said, weeks * 7
    return "undecided", None, open_still, None


def _days_left(traffic: Traffic) -> int | None:
    return ceil(traffic.days_left) if traffic.days_left and traffic.days_left > 0 else None


def _names(arms: Sequence[Arm]) -> str:
    return " and ".join(arm.variant for arm in arms)


def _on(arm: Arm) -> str:
    """The metrics it is better on, where that needs saying."""
    return f" on {' and '.join(arm.better_on)}" if arm.better_on else ""


def _harms(arms: Sequence[Arm]) -> str:
    verb = "harms" if len(arms) == 1 else "harm"
    named = list(dict.fromkeys(name for arm in arms for name in arm.harmed))
    if not named:
        return f"{verb} a guardrail"
    return f"{verb} the guardrail{'s' if len(named) > 1 else ''} {' and '.join(named)}"


def _scaled(interval: Interval, by: float) -> Interval:
    def times(value: float | None) -> float | None:
        return None if value is None else value * by

    return Interval(times(interval.estimate), times(interval.ci_lower), times(interval.ci_upper))
