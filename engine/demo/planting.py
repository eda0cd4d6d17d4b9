"""The planted part: how much, to whom, and what the truth is afterwards.

How much is not chosen to look good: it is what the shop's own numbers say a test of this size finds
with the wished power. To whom: people of one variant whose message was really sent. What: copies of
their own earlier baskets, at the hours they shop, within 14 days of exposure. Every planted order
says so in its order_id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from engine.core.model.instants import DAY, HOUR, Instant
from engine.demo.invented import CONSENT, draw
from engine.demo.orders import Order
from engine.readout.past import Past, past_of
from experiments.sizing.power import Design, Outcome, minimum_detectable_lift

EXPERIMENT: Final = "win-back-nudge"
CAMPAIGN: Final = "win-back"
PLANTED: Final = "email"
NOT_PLANTED: Final = "sms"
METRIC: Final = "orders-14d"
POWER: Final = 0.95
WINDOW: Final = 14 * DAY
SILENCE: Final = 45 * DAY
COVARIATE: Final = 120 * DAY
ARMS: Final = 3
COMPARISONS: Final = 2
ALPHA: Final = 0.05
HELD_OUT: Final = 0.3
SENT: Final = 0.97
"""Of those who agreed to e-mail, the share whose address takes it; the sandbox bounces the rest."""


@dataclass(frozen=True)
class Planned:
    """The calculation, to be printed.

    Attributes:
        past: What people do in the 14 days after 45 silent ones, from the real orders.
        n_arm: Expected units per variant.
        extra: Planned additional orders per unit of the variant, on average.
        per_message: The same per message sent: what is planted.
    """

    past: Past
    n_lapsed: int
    n_arm: int
    lift: float
    extra: float
    per_message: float

    def lines(self) -> list[str]:
        """The calculation in words."""
        return [
            f"{self.n_lapsed:,} households fall silent for 45 days between March and mid-December; "
            f"{HELD_OUT:.0%} are held out, the rest fall into {ARMS} variants: about "
            f"{self.n_arm:,} each.",
            f"Untouched they place {self.past.mean:.2f} orders in the next 14 days "
            f"(standard deviation {self.past.variance**0.5:.2f}; orders of the 120 days before "
            f"explain {self.past.explained_share:.1%} of the variance).",
            f"To be found with a power of {POWER:.0%} at alpha {ALPHA:g}, shared by {COMPARISONS} "
            f"comparisons, an effect must be at least {self.lift:+.0%}: "
            f"{self.extra:.2f} orders per person.",
            f"So each e-mail that is really sent is answered by {self.per_message:.2f} planted "
            f"orders on average, and each text message by none.",
        ]


def lapses(orders: Sequence[Order], *, since: Instant, until: Instant) -> dict[int, Instant]:
    """When each household first completes 45 silent days, from its real orders alone."""
    last: dict[int, Instant] = {}
    found: dict[int, Instant] = {}

    def silent_until(household: int, next_at: Instant) -> None:
        at = last[household] + SILENCE
        if household not in found and since <= at < min(next_at, until):
            found[household] = at

    for order in orders:
        if order.household in last:
            silent_until(order.household, order.at)
        last[order.household] = order.at
    for household in last:
        silent_until(household, until)
    return found


def plan(orders: Sequence[Order], *, since: Instant, until: Instant) -> Planned:
    """Size the planted effect by this shop's own numbers.

    Args:
        since, until: When campaigns run; only who lapses 15 days before the end is counted,
            because later windows do not close.
    """
    moments = lapses(orders, since=since, until=until - WINDOW - DAY)
    after = dict.fromkeys(moments, 0)
    before = dict.fromkeys(moments, 0)
    for order in orders:
        moment = moments.get(order.household)
        if moment is None:
            continue
        after[order.household] += moment < order.at <= moment + WINDOW
        before[order.household] += moment - COVARIATE < order.at <= moment
    values = [(float(after[it]), float(before[it])) for it in moments]
    past = past_of(values, is_proportion=False, days=(until - since) / DAY)
    n_arm = int(len(moments) * (1 - HELD_OUT) / ARMS)
    design = Design(
        alpha=ALPHA, power=POWER, comparisons=COMPARISONS, variance_reduction=past.explained_share
    )
    # Planting itself scatters: some answer, some do not. Its variance, at most 1/4 for one arm of
    # the two that are compared, is added before the effect is sized.
    outcome = Outcome(mean=past.mean, variance=past.variance + 0.25 / 2)
    lift = minimum_detectable_lift(outcome, n=2 * n_arm, design=design)
    extra = lift * past.mean
    per_message = ceil(100 * extra / (CONSENT["email"] * SENT)) / 100
    return Planned(past, len(moments), n_arm, lift, extra, per_message)


def planted_orders(
    household: int,
    *,
    baskets: Sequence[Order],
    exposed_at: Instant,
    after: Instant,
    per_message: float,
    seed: int,
) -> list[tuple[Order, Instant]]:
    """The orders with which one household answers its message.

    Args:
        baskets: Its real orders before the message, from which the answer is copied.
        after: When the message has arrived; answers come later.
    """
    rng = draw(seed, "answer", household)
    whole, part = int(per_message), per_message % 1
    n = whole + (rng.random() < part)
    last = exposed_at + WINDOW - HOUR
    answers: list[tuple[Order, Instant]] = []
    for _ in range(n):
        copied = rng.choice(baskets)
        # Most who answer do so in the first days, at an hour at which they shop.
        day = (after // DAY + 1 + int(12 * rng.random() ** 2)) * DAY
        at = min(day + copied.at % DAY, last - rng.randrange(HOUR))
        answers.append((copied, max(at, after + rng.randrange(1, HOUR))))
    return answers


@dataclass(frozen=True)
class Truth:
    """What was really planted among the units that were read out.

    Attributes:
        n: Units per variant.
        planted: Orders planted per variant.
        baseline: Real orders per unit over all variants: what everyone would have done anyway.
    """

    n: Mapping[str, int]
    planted: Mapping[str, int]
    baseline: float

    def extra(self, variant: str, control: str) -> float:
        """The true difference per unit between a variant and the control."""
        return self._mean(variant) - self._mean(control)

    def lift(self, variant: str, control: str) -> float:
        """The same relative to what the control does."""
        return self.extra(variant, control) / (self.baseline + self._mean(control))

    def _mean(self, variant: str) -> float:
        return self.planted.get(variant, 0) / self.n[variant]
