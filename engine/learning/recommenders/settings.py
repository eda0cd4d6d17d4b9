"""How a recommender was trained and how it answers; plain data, kept with its arrays."""

from dataclasses import dataclass
from typing import Literal

from campaigns.models import Fallback


@dataclass(frozen=True)
class Settings:
    """What a recommender needs to know of its file.

    Attributes:
        scale: Ends of the stars; None where events are weighed.
        content_weight: Of content in a hybrid, in [0, 1].
        damping: 0 leaves popular items where they are; 0.5 divides by the root of popularity.
        diversity: `choosing.Mixing`.
    """

    name: str
    kind: Literal["collaborative", "content", "hybrid", "popular"]
    half_life: int
    cap: float
    scale: tuple[float, float] | None = None
    fallback: tuple[Fallback, ...] = ("popular",)
    max_per_category: int | None = None
    content_weight: float = 0.0
    damping: float = 0.0
    diversity: float = 0.0
