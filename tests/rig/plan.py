"""What a seed decides about its world before the world begins."""

import random
from dataclasses import dataclass

from engine import failpoints
from engine.core.model.instants import Instant

START: Instant = 1_772_442_000_000_000
"""2026-03-02T09:00Z, a Monday: when every world begins."""


@dataclass(frozen=True)
class Plan:
    """One seed's choices.

    Attributes:
        is_virtual: On a clock that waits for the engine: nobody is ever late, and nothing comes
            from outside the log.
        crash_at: The failpoint that is likeliest to kill.
        crash_on: (failpoint, n): its n-th hit kills, and nothing else does. Set by tests.
    """

    is_virtual: bool
    n_people: int
    n_steps: int
    events_per_part: int
    crash_share: float
    crash_at: str
    poison: tuple[str, ...]
    tick_limits: tuple[int, ...]
    ambiguous_share: float
    has_devices: bool
    crash_on: tuple[str, int] | None = None

    @staticmethod
    def of(seed: int) -> "Plan":
        rng = random.Random(f"plan {seed}")
        is_virtual = rng.random() < 0.4
        return Plan(
            is_virtual=is_virtual,
            n_people=rng.choice((1, 2, 4, 8)),
            n_steps=rng.randint(20, 50),
            events_per_part=rng.choice((25, 500_000)),
            crash_share=rng.choice((0.0, 0.01, 0.03)),
            crash_at=rng.choice(sorted(failpoints.NAMES)),
            poison=tuple(
                rng.choice(("raise", "kill", "settle")) for _ in range(rng.choice((0, 0, 0, 1, 2)))
            ),
            tick_limits=rng.choice(((1000,), (1, 2, 3), (1, 5, 1000))),
            ambiguous_share=rng.choice((0.05, 0.15, 0.4)),
            has_devices=rng.random() < 0.3,
        )
