"""What is served after a training: taste where it pays, else the chain that the file declares.

A shop that is too young for taste still declared what to fall back to, so that much is learnt and
served, and said. Once taste is served only a better one takes its place: a refusal keeps it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.content import Row
from engine.learning.recommenders.evaluation import (
    POPULAR,
    PRIMARY,
    Evaluation,
    K,
    SegmentsAt,
    evaluate,
)
from engine.learning.recommenders.judging import judge
from engine.learning.recommenders.likings import Interactions
from engine.learning.recommenders.recommender import Recommender
from engine.learning.recommenders.training import train
from engine.learning.refusals import Refused
from engine.learning.scores.promotion import Promotion

if TYPE_CHECKING:
    import numpy as np

TASTE, CHAIN = "taste", "chain"
SERVES: Final = "serves"
"""The key of the metrics that says which of both."""


@dataclass(frozen=True, eq=False)
class Settled:
    """What one training came to.

    Attributes:
        recommender: To keep, and to serve if the verdict is good.
        evaluation: None where too few came back to judge by.
        metrics: Plain data; hand it to the next training as the champion's.
    """

    recommender: Recommender
    verdict: Promotion
    evaluation: Evaluation | None
    metrics: Mapping[str, Any]


def settle(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    rng: "np.random.Generator",
    sensitive: Collection[str] = (),
    segments: SegmentsAt | None = None,
    first_seen: Mapping[str, Instant] | None = None,
    before: Recommender | None = None,
    champion: Mapping[str, Any] | None = None,
) -> Settled:
    """Train, evaluate and decide.

    Args:
        segments: Asked as of now, and as of the cut that the evaluation makes.
        champion: The metrics of what is served now; None if nothing is.
    Raises:
        Refused: If taste cannot be learnt or judged while another one is served, or if there is
            nothing to learn from at all.
    """
    is_open = champion is None or champion.get(SERVES) == CHAIN
    inside = segments(now) if segments else {}

    def trained(asked: RecommenderModel) -> Recommender:
        return train(
            interactions, items, asked, now=now, rng=rng, sensitive=sensitive, segments=inside,
            first_seen=first_seen, before=before,
        )  # fmt: skip

    try:
        found = trained(model)
    except Refused as refused:
        if not is_open or model.kind == "popular":
            raise
        plain = trained(msgspec.structs.replace(model, kind="popular"))
        return _chain(plain, refused.why, None)
    try:
        judged = evaluate(
            interactions, items, model, now=now, rng=rng, sensitive=sensitive, segments=segments
        )
    except Refused as refused:
        if not is_open:
            raise
        return _chain(found.without_taste(), refused.why, None)
    if model.kind == "popular":
        return _chain(found, judge(judged).why, judged)
    verdict = judge(judged, None if is_open else champion)
    if is_open and not verdict.is_better:
        return _chain(found.without_taste(), verdict.why, judged)
    return Settled(found, verdict, judged, {**judged.metrics(), SERVES: TASTE})


def _chain(plain: Recommender, why: str, judged: Evaluation | None) -> Settled:
    said = f"{why}. What is served is the chain: {', '.join(plain.settings.fallback) or 'popular'}"
    metrics: dict[str, Any] = {} if judged is None else judged.metrics()
    if judged is not None:
        value = judged.systems[POPULAR].values[PRIMARY]
        metrics["primary"] = {"name": f"{PRIMARY}_at_{K}", **value.as_json()}
    return Settled(plain, Promotion(True, said), judged, {**metrics, SERVES: CHAIN})
