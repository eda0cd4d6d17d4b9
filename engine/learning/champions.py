"""What the score that is read now says of the people a new one is judged by.

The two are compared on the same people, row by row, which tells apart what two intervals of other
people and times cannot; and the champion's chances are held against what came of them.

A champion may have been trained on some of the very outcomes (a churn of 60 days, refreshed weekly:
on nearly all). Then it does too well, and the comparison decides one way only: who holds their own
against it has passed, and who does not is judged by the intervals that both earned on people whose
outcomes they had not seen.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from campaigns.models import ScoreModel
from engine.core.model.instants import Instant
from engine.learning.features import FeatureTable
from engine.learning.material import Material
from engine.learning.preparing import KEPT, Reader
from engine.learning.refusals import Refused
from engine.learning.scores import Promotion, Trained, matured
from engine.learning.scores.promotion import decide
from engine.store.models import ModelRun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Word:
    """What a champion says of some people.

    Attributes:
        said: One a row, in the order of the table it was asked about.
        has_seen: Whether its training may have known what came of them.
        is_chance: Whether it foretells chances, and no amounts.
    """

    said: "NDArray[np.float64]"
    has_seen: bool
    is_chance: bool

    def came_true(self, y: "NDArray[np.float64]") -> dict[str, Any]:
        """Chances beside what came, see `Matured`; nothing of amounts."""
        if not self.is_chance:
            return {}
        return {**asdict(matured(self.said, y)), "has_seen": self.has_seen}


def champions_word(
    material: Material, model: ScoreModel, people: FeatureTable, *, as_of: Instant
) -> Word | None:
    """What the champion says of people as they were at an instant.

    None where there is none, where it cannot be read, foretells something else, or reads what the
    definition does not ask for any more.
    """
    kept = material.before()
    if kept is None or material.champion is None or KEPT not in kept.schema or not len(people):
        return None
    trained = Trained.of(kept)
    if trained.metrics.get("measure") != model.target.measure:
        return None
    try:
        said = trained.predict(Reader.of(kept).matrix(people))
    except Refused:
        return None
    # Not the run's own instant: where a new model lost, the run is newer than what it asks.
    known_until = int(trained.metrics["as_of"]) + model.gap + model.target.within
    is_same = material.champion.about.config_hash == material.config_hash
    return Word(said, not is_same or known_until > as_of, model.target.measure == "happens")


def judged(trained: Trained, champion: ModelRun | None, word: Word | None) -> Promotion:
    """Whether a score takes the champion's place, and why (not)."""
    told: Mapping[str, Any] = {} if champion is None else champion.about.metrics
    stored = told.get("model")
    verdict = trained.verdict(stored)
    if verdict.is_better or word is None or not word.has_seen:
        return verdict
    alone = decide({k: it for k, it in trained.metrics.items() if k != "champion"}, stored)
    if not alone.is_better:
        return alone
    return Promotion(
        True,
        f"{alone.why}; on the same people the champion does better, and may have been trained on "
        "what came of them",
    )
