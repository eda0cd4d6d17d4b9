"""How much content a hybrid takes: the most that costs nothing, on a later part of the past.

Content rarely makes lists better and is the only word about items that nobody has touched. So the
weight is the largest whose lists are not worse than the best weight's by more than one standard
error of the difference.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.choosing import descending
from engine.learning.recommenders.content import Row
from engine.learning.recommenders.fusing import WEIGHTS, fused
from engine.learning.recommenders.likings import Interactions
from engine.learning.recommenders.ranking_metrics import ndcg
from engine.learning.recommenders.recommender import Recommender
from engine.learning.recommenders.splitting import Split, Trial, split, trials
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np

USUAL: Final = 0.2
"""Where there is too little to choose by."""

PEOPLE_MIN: Final = 20
PEOPLE_MAX: Final = 500
ITEMS_MAX: Final = 3_000
"""Of the trial fit: the weight hardly depends on the tail, the time on its cube."""
K: Final = 10


@dataclass(frozen=True)
class Blend:
    """The weight of content, and why it is that, in a sentence."""

    weight: float
    why: str


def content_weight(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    rng: "np.random.Generator",
    sensitive: Collection[str],
    items_max: int,
    train: Callable[..., Recommender],
) -> Blend:
    """The weight for a hybrid over these interactions.

    Args:
        train: `training.train`, for what was known earlier.
    """
    cut = split(interactions, now=now)
    asked = _asked(cut, model, rng) if cut else []
    few = f"content counts {USUAL:.0%}: too few people came back to choose the weight by"
    if cut is None or len(asked) < PEOPLE_MIN:
        return Blend(USUAL, few)
    alone = msgspec.structs.replace(model, kind="collaborative")
    try:
        trained = train(
            cut.before, items, alone, now=cut.at, rng=rng, sensitive=sensitive,
            items_max=min(items_max, ITEMS_MAX),
        )  # fmt: skip
    except Refused:
        return Blend(USUAL, few)
    return _best(trained, asked, at=cut.at)


def _asked(cut: Split, model: RecommenderModel, rng: "np.random.Generator") -> list[Trial]:
    """People of whom something was known: of the others neither engine has a word."""
    middle = sum(model.rating.scale) / 2 if model.rating else 0.0
    found = trials(
        cut, purchased=model.exclude.purchased, middle=middle, unread=(), most=2 * PEOPLE_MAX,
        rng=rng,
    )  # fmt: skip
    return [it for it in found if it.history][:PEOPLE_MAX]


def _best(trained: Recommender, asked: list[Trial], *, at: Instant) -> Blend:
    import numpy as np

    assert trained.collaborative is not None
    assert trained.content is not None
    gained = np.zeros((len(asked), len(WEIGHTS)))
    for row, trial in enumerate(asked):
        liked = trained.taste(trial.history, now=at)
        both = (
            trained.collaborative.scores(liked),
            trained.content.scores(trained.read_by(trained.content, liked)),
        )
        hidden = [trained.places[it] for it in trial.hidden if it in trained.places]
        for scores in both:
            scores[hidden] = -np.inf
        for column, weight in enumerate(WEIGHTS):
            ranked = descending(fused(*both, weight=weight), first=K)
            shown = [trained.names[it] for _, it in zip(range(K), ranked, strict=False)]
            gained[row, column] = ndcg(shown, trial.wanted, k=K)
    means = gained.mean(axis=0)
    best = int(np.argmax(means))
    behind = gained[:, best, None] - gained
    error = behind.std(axis=0) / np.sqrt(len(asked))
    is_near = behind.mean(axis=0) <= error
    chosen = int(np.flatnonzero(is_near)[-1])
    why = (
        f"content counts {WEIGHTS[chosen]:.0%} (nDCG@{K} {means[chosen]:.4f} on"
        f" {len(asked):,} people; best {means[best]:.4f} with {WEIGHTS[best]:.0%})"
    )
    return Blend(WEIGHTS[chosen], why)
