"""How well a recommender would have done: trained before an instant, asked about what came after.

Lists are those that would have been served, fallbacks included, because most people are new. They
are held against popularity, and broken down by how much was known of people and how old items were.
Figures of one split of one past: they rank models, they do not foretell a lift; only an experiment
does.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from campaigns.models import RecommenderModel
from engine.core.model.instants import DAY, Instant
from engine.learning.recommenders.content import Row
from engine.learning.recommenders.likings import Interactions, item_id
from engine.learning.recommenders.ranking_metrics import (
    Mean,
    alike,
    coverage,
    gini,
    inner_likeness,
    mean,
    ndcg,
    precision,
    recall,
    shares,
)
from engine.learning.recommenders.recommender import Recommender
from engine.learning.recommenders.splitting import Trial, split, trials
from engine.learning.recommenders.star_errors import StarErrors, star_errors
from engine.learning.recommenders.training import train
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np

SegmentsAt: TypeAlias = Callable[[Instant], Mapping[int, str]]
"""The segment of each person as of an instant, for `segment_popular`."""

K: Final = 10
PEOPLE_MAX: Final = 2_000
PEOPLE_MIN: Final = 10
PRIMARY: Final = "ndcg"
METRICS: Final = {"ndcg": ndcg, "recall": recall, "precision": precision}
SERVED, POPULAR = "served", "popular"
UNMIXED: Final = "unmixed"
"""As served, without what moves items for variety: what variety costs is the difference."""

KNOWN: Final = (("nothing", 0), ("1-4 events", 1), ("5-19 events", 5), ("20 or more", 20))
"""Groups of people by what was known of them, each from so many events on."""

AGES: Final = (("under 30 days", 30 * DAY), ("30-180 days", 180 * DAY), ("older", 2**63))
UNSEEN: Final = "never acted on"


@dataclass(frozen=True, eq=False)
class System:
    """One way to make lists, as it did.

    Attributes:
        values: `ndcg`, `recall`, `precision` at K, averaged over people.
        coverage: Share of items shown to anybody; `gini` of places over items; `alike` the share
            of people whose list somebody else has too.
        likeness: Of the items of one list with each other, in [0, 1], averaged over people; None
            where nothing is told of items.
        sources: Share of picks by source.
        by_known: nDCG by how much was known; `by_age` the share of what was wanted that was shown,
            by the item's age.
    """

    values: Mapping[str, Mean]
    coverage: float
    gini: float
    alike: float
    likeness: float | None
    sources: Mapping[str, float]
    by_known: Mapping[str, float]
    by_age: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a time split says of a recommender.

    Attributes:
        at: The cut.
        n_people: Foretold; `n_wanted` what they did that was new.
        systems: `served` and `popular`; of a hybrid its two parts too; `unmixed` where the file
            asks for variety.
        gain: Of `served` over `popular`, paired by person.
        n_by_known: People in each group; `n_by_age` wanted items.
        stars: How far estimated stars are off; None where none were learnt.
    """

    name: str
    kind: str
    at: Instant
    n_people: int
    n_wanted: int
    n_items: int
    systems: Mapping[str, System]
    gain: Mapping[str, Mean]
    n_by_known: Mapping[str, int]
    n_by_age: Mapping[str, int]
    stars: StarErrors | None = None
    notes: tuple[str, ...] = field(default=())

    def metrics(self) -> dict[str, Any]:
        """Plain data for the registry; `primary` is the metric that decides."""
        served = self.systems[SERVED]
        return {
            "primary": {"name": f"{PRIMARY}_at_{K}", **served.values[PRIMARY].as_json()},
            "gain": {f"{it}_at_{K}": self.gain[it].as_json() for it in self.gain},
            "systems": {
                name: {
                    **{f"{it}_at_{K}": value.as_json() for it, value in system.values.items()},
                    "coverage": system.coverage, "gini": system.gini, "alike": system.alike,
                    "likeness": system.likeness,
                    "sources": dict(system.sources), "by_known": dict(system.by_known),
                    "by_age": dict(system.by_age),
                }
                for name, system in self.systems.items()
            },
            "n_people": self.n_people,
            "n_wanted": self.n_wanted,
            "n_by_known": dict(self.n_by_known),
            "n_by_age": dict(self.n_by_age),
            "stars": None if self.stars is None else self.stars.as_json(),
        }  # fmt: skip


def evaluate(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    rng: "np.random.Generator",
    sensitive: Collection[str] = (),
    segments: SegmentsAt | None = None,
    people_max: int = PEOPLE_MAX,
    **settings: Any,
) -> Evaluation:
    """Train on the earlier four fifths of the events and foretell the rest.

    Args:
        segments: Asked as of the cut: who is inside today, often is because of what they did since.
        settings: What else `train` takes: items_max.
    Raises:
        Refused: If nothing can be learnt before the cut, or too few came back after it.
    """
    cut = split(interactions, now=now)
    if cut is None:
        raise Refused("all events are of one instant: there is no before and after", _WAIT)
    inside = segments(cut.at) if segments else {}
    known = train(
        cut.before, items, model, now=cut.at, rng=rng, sensitive=sensitive, segments=inside,
        **settings,
    )  # fmt: skip
    middle = sum(model.rating.scale) / 2 if model.rating else 0.0
    asked = trials(
        cut, purchased=model.exclude.purchased, middle=middle, most=people_max, rng=rng,
        unread=set(map(item_id, items)) - set(known.places),
    )  # fmt: skip
    if len(asked) < PEOPLE_MIN:
        raise Refused(
            f"{len(asked)} people acted on something new in the last fifth of the events;"
            f" {PEOPLE_MIN} are needed to judge by",
            _WAIT,
        )
    ages = _ages(known, asked, at=cut.at)
    groups = [_known_group(it) for it in asked]
    systems, by_person = {}, {}
    for name, system in _systems(known).items():
        systems[name], by_person[name] = _tried(
            system, asked, ages, groups, at=cut.at, segments=inside, rng=rng
        )
    gain = {it: mean(by_person[SERVED][it] - by_person[POPULAR][it], rng=rng) for it in METRICS}
    return Evaluation(
        name=model.name,
        kind=model.kind,
        at=cut.at,
        n_people=len(asked),
        n_wanted=sum(len(it.wanted) for it in asked),
        n_items=len(known.items),
        systems=systems,
        gain=gain,
        n_by_known={name: groups.count(name) for name, _ in KNOWN},
        n_by_age={
            name: sum(age == name for of_one in ages for age in of_one.values())
            for name in (UNSEEN, *(it for it, _ in AGES))
        },
        stars=star_errors(known, cut),
        notes=known.notes,
    )


_WAIT: Final = "wait until more is known, or use kind: popular"


def _systems(known: Recommender) -> dict[str, Recommender]:
    def only(kind: Any) -> Recommender:
        return replace(known, settings=replace(known.settings, kind=kind))

    systems = {SERVED: known, POPULAR: only("popular")}
    if known.settings.kind == "hybrid":
        systems |= {"collaborative": only("collaborative"), "content": only("content")}
    plain = known.unmixed()
    return systems if plain is known else {**systems, UNMIXED: plain}


def _tried(
    system: Recommender,
    asked: Sequence[Trial],
    ages: Sequence[Mapping[str, str]],
    groups: Sequence[str],
    *,
    at: Instant,
    segments: Mapping[int, str],
    rng: "np.random.Generator",
) -> tuple[System, dict[str, "np.ndarray[Any, Any]"]]:
    """The system's figures, and each metric by person."""
    import numpy as np

    lists: list[list[str]] = []
    sources: Counter[str] = Counter()
    for trial in asked:
        picks = system.recommend(
            trial.history, n=K, exclude=trial.hidden, now=at, segment=segments.get(trial.user, "")
        )
        lists.append([it.item for it in picks])
        sources.update(it.source for it in picks)
    by_person = {
        name: np.asarray(
            [metric(it, trial.wanted, k=K) for it, trial in zip(lists, asked, strict=True)]
        )
        for name, metric in METRICS.items()
    }
    wanted: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for shown, of_one in zip(lists, ages, strict=True):
        wanted.update(of_one.values())
        hits.update(age for item, age in of_one.items() if item in shown)
    in_group = np.asarray(groups)
    return System(
        values={name: mean(values, rng=rng) for name, values in by_person.items()},
        coverage=coverage(lists, n_items=len(system.items)),
        gini=gini(lists, n_items=len(system.items)),
        alike=alike(lists),
        likeness=_inner(system, lists),
        sources=shares(dict(sources.most_common())),
        by_known={
            name: float(by_person[PRIMARY][in_group == name].mean())
            for name, _ in KNOWN
            if name in groups
        },
        by_age={age: hits[age] / n for age, n in sorted(wanted.items())},
    ), by_person


def _inner(system: Recommender, lists: Sequence[Sequence[str]]) -> float | None:
    if system.content is None:
        return None
    found = [
        inner_likeness(system.likeness([system.places[it] for it in shown]))
        for shown in lists
        if len(shown) > 1
    ]
    return sum(found) / len(found) if found else None


def _known_group(trial: Trial) -> str:
    return next(name for name, least in reversed(KNOWN) if len(trial.history) >= least)


def _ages(known: Recommender, asked: Sequence[Trial], *, at: Instant) -> list[dict[str, str]]:
    """For each person, how old each wanted item was at the cut."""

    def age(item: str) -> str:
        place = known.places.get(item)
        if place is None or not known.popularity[place]:
            return UNSEEN
        since = at - int(known.first_seen[place])
        return next(name for name, most in AGES if since < most)

    return [{item: age(item) for item in trial.wanted} for trial in asked]
