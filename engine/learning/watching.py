"""How each model stands: what is read, how old it is, how good, what drifted, when it is next due.

A champion older than its `stale_after` has lost its word: recommenders fall down their chain,
scores and clusters go on answering (a segment that empties overnight would be worse) and say so.
"""

from typing import Any, Final

from msgspec import Struct

from campaigns.models import kind_of
from campaigns.workspace import Workspace
from engine.core.errors import StoreError
from engine.core.model.instants import Instant
from engine.schedule import next_fire
from engine.scheduling.plans import plans_of
from engine.store import models
from engine.store.connection import Connection
from engine.store.models import ModelRun

DRIFTED: Final = 0.2
"""The population stability index above which what people are like has changed."""


class Standing(Struct, frozen=True):
    """One model as it stands.

    Attributes:
        run: The champion's number, 0 where nothing is read; `n_scored` people are in it.
        as_of: What the champion knows; None where nothing is read.
        primary: The metric that decides, with its interval: {name, value, low, high}.
        drift: The largest population stability index found when it last scored, and of what.
        retrain_by: When somebody erased must be out of it.
        last_status: Of the newest run, with its words; they differ where it did not win.
        is_ours: Whether models/ declares it; else its runs come from files.
        calibration: What the champion foretold and what came, once it was over, as of its run:
            {n, foretold, came, ece, z, why}; `why` is a sentence if the two are apart.
        fault: Why what the champion has learnt cannot be read; "" where it can, or was not tried.
    """

    model: str
    kind: str
    title: str
    run: int
    n_scored: int
    as_of: Instant | None
    is_stale: bool
    primary: dict[str, Any]
    drift: dict[str, Any]
    next_at: Instant | None
    retrain_by: Instant | None
    last_run: int
    last_status: str
    last_verdict: str
    is_ours: bool = True
    calibration: dict[str, Any] = {}
    fault: str = ""

    @property
    def has_drifted(self) -> bool:
        return float(self.drift.get("psi") or 0.0) > DRIFTED

    def _meanwhile(self) -> str:
        """Who answers where what was learnt is damaged."""
        if self.kind == "recommender":
            return "its fallbacks answer"
        # Rows of people are kept beside what was learnt.
        return "what it said of people still answers, and the next refresh begins anew"

    def warnings(self) -> list[str]:
        """What somebody should look at, in sentences."""
        found = []
        if self.is_stale:
            found.append(
                f"{self.model} is stale: what it knows is older than its stale_after. "
                f"See why: antiphon model evaluate {self.model}"
            )
        if self.has_drifted:
            of = self.drift.get("of", "")
            found.append(
                f"{self.model} has drifted ({of}: PSI {self.drift['psi']:.2f}): people are not "
                "as they were when it was trained"
            )
        if self.calibration.get("why"):
            found.append(f"{self.model} is off: {self.calibration['why']}")
        if self.fault:
            found.append(
                f"{self.model} is damaged: what run {self.run} has learnt cannot be read "
                f"({self.fault}); {self._meanwhile()}. antiphon model train {self.model}"
            )
        if self.last_status == "refused":
            found.append(f"{self.model}: run {self.last_run} was refused: {self.last_verdict}")
        return found


def standings(
    connection: Connection, workspace: Workspace, *, now: Instant, is_opened: bool = False
) -> list[Standing]:
    """Every model that is declared or has a run, by name.

    Args:
        is_opened: Try whether what each champion has learnt can be read, all of it.
    """
    from campaigns.model_compile import models_of

    declared = models_of(workspace)
    runs: dict[str, list[ModelRun]] = {}
    for it in models.all_runs(connection):
        runs.setdefault(it.model, []).append(it)
    due = {plan.model: plan for plan in plans_of(workspace).values() if plan.model}
    found: list[Standing] = []
    for name in sorted({*declared, *runs}):
        own = runs.get(name, [])
        champion = next((it for it in own if it.status == "champion"), None)
        newest = next((it for it in own if it.status != "loading"), None)
        model = declared.get(name)
        plan = due.get(name)
        metrics = {} if champion is None else champion.about.metrics
        found.append(
            Standing(
                model=name,
                kind=kind_of(model) if model is not None else own[0].about.kind,
                title=model.title if model is not None else "",
                run=0 if champion is None else champion.run,
                n_scored=0 if champion is None else champion.n_scores,
                as_of=None if champion is None else known_until(champion),
                is_stale=champion is not None
                and model is not None
                and is_stale(champion, model.refresh.stale_after, now=now),
                primary=dict(metrics.get("primary") or {}),
                drift=dict(metrics.get("drift") or {}),
                next_at=None if plan is None else next_fire(plan.times, now, plan.zone),
                retrain_by=None if champion is None else champion.retrain_by,
                last_run=0 if newest is None else newest.run,
                last_status="" if newest is None else newest.status,
                last_verdict="" if newest is None else newest.about.verdict,
                is_ours=model is not None,
                calibration=dict(metrics.get("calibration") or {}),
                fault=fault_of(connection, champion) if is_opened else "",
            )
        )
    return found


def fault_of(connection: Connection, run: ModelRun | None) -> str:
    """Why what a run has learnt cannot be read, in words; "" where it can, or nothing is kept."""
    from engine.learning.artifact import DAMAGED, unpack
    from engine.learning.recommenders.keeping import recommender_of

    if run is None or not run.has_artifact:
        return ""
    try:
        kept = unpack(models.artifact(connection, run.model, run.run))
        if run.about.kind == "recommender":
            recommender_of(kept)
    except (StoreError, *DAMAGED) as error:
        return str(error)
    return ""


def known_until(run: ModelRun) -> Instant:
    """What a run knows; of one that came from a file, when it came."""
    return run.about.as_of or run.created_at


def is_stale(run: ModelRun, stale_after: int, *, now: Instant) -> bool:
    """Whether a champion is too old to be believed."""
    return now - known_until(run) > stale_after
