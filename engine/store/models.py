"""Runs of models as they are kept: what each was made from, what it learnt, what came of it.

Beside `engine.store.scores`, which holds what runs say of people and decides which run is read. A
run that is a candidate or refused was never read, and nothing of the past asks for it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from engine.core.errors import StoreError
from engine.core.model.instants import Instant
from engine.store import bulk
from engine.store.connection import Connection, Row

PART_BYTES: Final = 1_000_000
"""Of one piece of an artifact: no row of the database is larger."""

_COLUMNS: Final = (
    "model", "run", "kind", "status", "created_at", "cuts", "as_of", "config_hash", "data_hash",
    "code_version", "seed", "metrics", "verdict", "parent", "retrain_by",
)  # fmt: skip
_COUNTED: Final = "(SELECT count(*) FROM model_score s WHERE s.model = r.model AND s.run = r.run)"
_SELECT: Final = (
    "SELECT r.model, r.run, r.kind, r.status, r.created_at, r.as_of, r.config_hash, r.data_hash, "
    "r.code_version, r.seed, r.metrics, r.verdict, r.parent, r.retrain_by, "
    f"{_COUNTED}, "
    "(SELECT count(*) FROM model_artifact a WHERE a.model = r.model AND a.run = r.run) "
    "FROM model_run r"
)


class About(Struct, frozen=True):
    """What a run was made from. Equal ones on one database give equal runs.

    Attributes:
        kind: Of model: score, cluster, recommender, send_time or uplift.
        as_of: Nothing that was learnt later than this is in it.
        config_hash: Of the model's definition; `data_hash` of what it was fitted to.
        parent: The champion it was measured against, or the run it repeats.
    """

    kind: str
    as_of: Instant
    config_hash: str = ""
    data_hash: str = ""
    code_version: str = ""
    seed: int = 0
    metrics: Mapping[str, Any] = {}
    verdict: str = ""
    parent: int | None = None


class ModelRun(Struct, frozen=True):
    """One run of a model as it stands."""

    model: str
    run: int
    status: str
    created_at: Instant
    about: About
    retrain_by: Instant | None
    n_scores: int
    has_artifact: bool


def begin(
    connection: Connection, model: str, about: About, *, status: str = "loading", now: Instant
) -> int:
    """Write down a run that nobody reads, and give its number."""
    rows = connection.execute(
        "SELECT coalesce(max(run), 0) + 1 FROM model_run WHERE model = ?", (model,)
    )
    run = int(rows[0][0])
    row = (
        model, run, about.kind, status, now, "[]", about.as_of, about.config_hash,
        about.data_hash, about.code_version, about.seed,
        json.dumps(about.metrics, sort_keys=True, allow_nan=False), about.verdict, about.parent,
        None,
    )  # fmt: skip
    bulk.insert(connection, "model_run", _COLUMNS, [row])
    return run


def set_status(connection: Connection, model: str, run: int, status: str) -> None:
    """Say what became of a run that is not read: candidate or refused."""
    connection.execute(
        "UPDATE model_run SET status = ? WHERE model = ? AND run = ? AND status = 'loading'",
        (status, model, run),
    )


def keep_part(connection: Connection, model: str, run: int, part: int, data: bytes) -> None:
    """Keep one piece of what a run has learnt, at most PART_BYTES long."""
    row = (model, run, part, data)
    bulk.insert(connection, "model_artifact", ("model", "run", "part", "data"), [row])


def parts_of(data: bytes) -> list[bytes]:
    """An artifact's bytes in pieces that fit a row."""
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def artifact(connection: Connection, model: str, run: int) -> bytes:
    """All that a run has learnt.

    Raises:
        StoreError: If nothing of it is kept.
    """
    rows = connection.execute(
        "SELECT data FROM model_artifact WHERE model = ? AND run = ? ORDER BY part", (model, run)
    )
    if not rows:
        raise StoreError(
            f'what run {run} of "{model}" has learnt is not kept any more. '
            f"Train it again: antiphon model train {model}"
        )
    return b"".join(bytes(row[0]) for row in rows)


def drop_artifacts(connection: Connection, model: str, *, but: Iterable[int]) -> None:
    """Forget what runs of a model have learnt, but these."""
    kept = sorted({0, *but})  # No run has the number 0.
    marks = ", ".join("?" * len(kept))
    connection.execute(
        f"DELETE FROM model_artifact WHERE model = ? AND run NOT IN ({marks})", (model, *kept)
    )


def runs_of(connection: Connection, model: str) -> list[ModelRun]:
    """Every run of a model, the newest first."""
    return _read(connection, "WHERE r.model = ? ORDER BY r.run DESC", (model,))


def all_runs(connection: Connection, *, is_counted: bool = True) -> list[ModelRun]:
    """Every run of every model, by model, the newest first.

    Args:
        is_counted: False leaves uncounted (0) who is in each, which takes its while with millions.
    """
    return _read(connection, "ORDER BY r.model, r.run DESC", (), is_counted=is_counted)


def champion_of(connection: Connection, model: str) -> ModelRun | None:
    """The run that is read, if there is one."""
    found = _read(connection, "WHERE r.model = ? AND r.status = 'champion'", (model,))
    return found[0] if found else None


def champions(connection: Connection) -> dict[str, int]:
    """The number of the run that is read, by model."""
    rows = connection.execute("SELECT model, run FROM model_run WHERE status = 'champion'")
    return {str(row[0]): int(row[1]) for row in rows}


def trained_as_of(
    connection: Connection, model: str, *, as_of: Instant, config_hash: str
) -> ModelRun | None:
    """The newest finished run of this definition that knows all up to this instant, or more.

    A run of a schedule that was broken off may be begun again after the next one: it has nothing
    to add, and what it would learn is older than what is read.
    """
    found = _read(
        connection,
        "WHERE r.model = ? AND r.as_of >= ? AND r.config_hash = ? AND r.status <> 'loading' "
        "ORDER BY r.run DESC",
        (model, as_of, config_hash),
    )
    return found[0] if found else None


def demand_retraining(connection: Connection, models: Sequence[str], *, by: Instant) -> None:
    """Note that these models' kept runs must be trained anew by then; an earlier day stays."""
    for model in models:
        connection.execute(
            "UPDATE model_run SET retrain_by = ? WHERE model = ? "
            "AND (retrain_by IS NULL OR retrain_by > ?) "
            "AND EXISTS (SELECT 1 FROM model_artifact a WHERE a.model = model_run.model "
            "AND a.run = model_run.run)",
            (by, model, by),
        )


def take_over_deadline(connection: Connection, *, model: str, run: int, of: int) -> None:
    """Have a run be trained anew by the day that one of the same model must be, or earlier."""
    connection.execute(
        "UPDATE model_run SET retrain_by = (SELECT min(r.retrain_by) FROM model_run r "
        "WHERE r.model = ? AND r.run IN (?, ?)) WHERE model = ? AND run = ?",
        (model, run, of, model, run),
    )


def overdue_champions(connection: Connection, *, now: Instant) -> list[str]:
    """The models of which a run is read that must have forgotten somebody by now."""
    rows = connection.execute(
        "SELECT model FROM model_run WHERE status = 'champion' AND retrain_by <= ? ORDER BY model",
        (now,),
    )
    return [str(row[0]) for row in rows]


def drop_overdue(connection: Connection, *, now: Instant) -> int:
    """Forget what runs past their `retrain_by` have learnt; how many. None of them may be read:
    `Registry.drop_overdue` withdraws those that are, and wakes whom that concerns."""
    dropped = connection.execute(
        "DELETE FROM model_artifact WHERE (model, run) IN "
        "(SELECT model, run FROM model_run WHERE retrain_by <= ? AND status <> 'champion') "
        "RETURNING model, run",
        (now,),
    )
    return len({(row[0], row[1]) for row in dropped})


def _read(
    connection: Connection, where: str, params: Sequence[Any], *, is_counted: bool = True
) -> list[ModelRun]:
    select = _SELECT if is_counted else _SELECT.replace(_COUNTED, "0")
    return [_run(row) for row in connection.execute(f"{select} {where}", params)]


def _run(row: Row) -> ModelRun:
    about = About(
        kind=row[2],
        as_of=int(row[5]),
        config_hash=row[6],
        data_hash=row[7],
        code_version=row[8],
        seed=int(row[9]),
        metrics=json.loads(row[10]),
        verdict=row[11],
        parent=None if row[12] is None else int(row[12]),
    )
    return ModelRun(
        model=row[0],
        run=int(row[1]),
        status=row[3],
        created_at=int(row[4]),
        about=about,
        retrain_by=None if row[13] is None else int(row[13]),
        n_scores=int(row[14]),
        has_artifact=bool(row[15]),
    )
