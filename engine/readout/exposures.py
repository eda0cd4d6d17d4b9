"""Who is compared in a study: everyone exposed, as assigned, and who is left out and why.

Chosen by nothing that comes after assignment: not by what was delivered, opened or clicked.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.core.errors import UsageError
from engine.core.merge import ASSIGNMENT_CONFLICT
from engine.core.model.instants import DAY, Instant
from engine.readout.metric_sums import Unit
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.analysis.plan import ExperimentPlan
from experiments.sums.unit_sums import Excluded

AFTER_TREATMENT: Final = (
    "sent", "delivered", "reached", "opened", "openers", "clicked", "clickers", "converted",
    "bounced", "unsubscribed", "replied", "engaged",
)  # fmt: skip
POPULATIONS: Final = ("exposed", "reachable")
FORCED: Final = "were given their variant by hand"
HELD_OUT: Final = "are held out, and a client that could not know showed them a variant"
OFF_PLAN: Final = "saw another variant than the one assigned"
TORN: Final = "turned out to be one person with two profiles under different variants"

_answers: Final = msgspec.json.Decoder(dict[str, str | None])


@dataclass(frozen=True)
class Exposed:
    """One person at the first exposure.

    Attributes:
        key: The unit where it is not the person (an account, a device), else "".
        source: Who saw it: journey, event or api.
        would_allow: The gate's answer for every arm at that instant, where one was asked.
    """

    unit: Unit
    key: str
    source: str
    would_allow: Mapping[str, str | None]


@dataclass(frozen=True)
class Population:
    """Who is analysed and who is not.

    Attributes:
        mature: Whose longest window has closed.
        excluded: The others, by reason.
        n_immature, n_torn: Of them, those who wait, and those of two variants.
        everyone: All exposed, mature or not, for the speed at which they come.
    """

    mature: tuple[Exposed, ...]
    excluded: tuple[Excluded, ...]
    n_immature: int
    n_torn: int
    everyone: tuple[Exposed, ...]

    @property
    def units_per_day(self) -> float | None:
        """How fast units come; None while all came within one day."""
        instants = [it.unit.at for it in self.everyone]
        if len(instants) < 2 or max(instants) - min(instants) < DAY:
            return None
        return (len(instants) - 1) / ((max(instants) - min(instants)) / DAY)


def require_before_treatment(population: str) -> None:
    """Refuse to compare people whom the treatment itself chose.

    Raises:
        UsageError: With what to read instead.
    """
    if population in POPULATIONS:
        return
    if population in AFTER_TREATMENT:
        raise UsageError(
            f'"{population}" is decided after the treatment: those in it differ between variants'
            " because of the treatment, so comparing them measures who they are. Read the effect on"
            " everyone assigned, or on those the message reached (CACE), which the report shows"
        )
    raise UsageError(f'population "{population}" is unknown; allowed are {", ".join(POPULATIONS)}')


def population_of(
    connection: Connection, study: Study, plan: ExperimentPlan, *, window: int, as_of: Instant
) -> Population:
    """Everyone exposed by an instant, and who of them may be analysed."""
    rows = _rows(connection, study, as_of=as_of)
    torn = _torn(connection, study)
    everyone = [it for it, flag in rows if not flag and it.unit.profile_id not in torn]
    in_time = everyone if plan.ends_at is None else _before_the_end(plan, everyone)
    mature = [it for it in in_time if it.unit.at + window <= as_of]
    kept = _first_of_the_sample(plan, mature)

    def reason(why: str, chosen: Iterable[Exposed]) -> Excluded | None:
        n = Counter(it.unit.variant for it in chosen)
        total = sum(n.values())
        return Excluded(why, "units", total, len(rows), n) if total else None

    waiting = [it for it in in_time if it.unit.at + window > as_of]
    found = (
        reason(FORCED, (it for it, flag in rows if flag == "forced")),
        reason(HELD_OUT, (it for it, flag in rows if flag == "held_out")),
        reason(OFF_PLAN, (it for it, flag in rows if flag not in ("", "forced", "held_out"))),
        reason(TORN, (it for it, flag in rows if not flag and it.unit.profile_id in torn)),
        reason("came after the planned end", _without(everyone, in_time)),
        reason(f"wait for their {window / DAY:g} days to be over", waiting),
        reason("came after the planned sample was full", _without(mature, kept)),
    )
    return Population(
        mature=tuple(kept),
        excluded=tuple(it for it in found if it is not None),
        n_immature=len(waiting),
        n_torn=sum(not flag and it.unit.profile_id in torn for it, flag in rows),
        everyone=tuple(everyone),
    )


def counts(
    study: Study, chosen: Iterable[Exposed], label: Callable[[Exposed], str]
) -> dict[str, dict[str, int]]:
    """Units per label and variant; several people of one unit count once."""
    found: dict[str, dict[str, int]] = {}
    seen: set[tuple[str, str]] = set()
    for it in chosen:
        name = label(it)
        if it.key:
            if (name, it.key) in seen:
                continue
            seen.add((name, it.key))
        of_it = found.setdefault(name, dict.fromkeys(study.weights, 0))
        of_it[it.unit.variant] += 1
    return found


def _rows(connection: Connection, study: Study, *, as_of: Instant) -> list[tuple[Exposed, str]]:
    rows = connection.execute(
        "SELECT profile_id, variant, at, unit, source, would_allow, flag FROM exposure "
        "WHERE experiment = ? AND phase = ? AND at <= ? ORDER BY profile_id, unit",
        (study.name, study.phase, as_of),
    )
    # The gates have few answers, and many units the same one.
    answers: dict[str, dict[str, str | None]] = {"": {}}
    answers |= {text: _answers.decode(text) for text in {row[5] for row in rows} if text}
    return [
        (Exposed(Unit(profile_id, variant, at), unit, source, answers[allow]), flag)
        for profile_id, variant, at, unit, source, allow, flag in rows
        if variant in study.weights
    ]


def _torn(connection: Connection, study: Study) -> set[int]:
    """People whom a merge found under two variants of this study."""
    rows = connection.execute(
        "SELECT profile_id, properties FROM event WHERE name = ?", (ASSIGNMENT_CONFLICT,)
    )
    return {row[0] for row in rows if msgspec.json.decode(row[1]).get("experiment") == study.name}


def _before_the_end(plan: ExperimentPlan, everyone: Sequence[Exposed]) -> list[Exposed]:
    """What is read once is read of those who came in time, whenever it is read."""
    assert plan.ends_at is not None
    if plan.method not in ("fixed", "bayesian"):
        return list(everyone)
    ends = round(plan.ends_at.timestamp() * 1_000_000)
    return [it for it in everyone if it.unit.at < ends]


def _first_of_the_sample(plan: ExperimentPlan, mature: Sequence[Exposed]) -> list[Exposed]:
    """Of a sample planned without an end date the first units to come, whenever it is read.

    Of planned looks as well: the last one is at the planned sample, and nothing is read after it.
    """
    is_once = plan.method in ("fixed", "bayesian") and plan.ends_at is None
    if plan.planned_sample is None or not (is_once or plan.method == "group_sequential"):
        return list(mature)
    first = sorted(mature, key=lambda it: (it.unit.at, it.unit.profile_id, it.key))
    return sorted(first[: plan.planned_sample], key=lambda it: (it.unit.profile_id, it.key))


def _without(whole: Sequence[Exposed], part: Sequence[Exposed]) -> list[Exposed]:
    kept = set(map(id, part))
    return [it for it in whole if id(it) not in kept]
