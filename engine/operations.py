"""What commands of this machine may have the running server do: a name, a JSON payload, a result.

`local.call` sends them here; the same work is done directly by the command when no server runs.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from engine import suppressing, write_keys
from engine.core.clocktime import iso
from engine.core.errors import Overloaded, UsageError
from engine.intake.prepare import Answer, Prepared
from engine.release.playbook import Playbook
from engine.running import Running
from engine.settings import DIRECTORY
from engine.steady import elapsed, present

SETTLE_SECONDS_MAX: Final = 600.0


def operations(
    running: Running, *, keys_changed: Callable[[], None]
) -> Mapping[str, Callable[[Any], Any]]:
    """Every operation by name. `keys_changed` is called after a key was made or revoked."""

    def on_keys(name: str, payload: Any) -> Any:
        result = running.write(lambda connection: write_keys.OPERATIONS[name](connection, payload))
        keys_changed()
        return result

    return {
        **{name: partial(on_keys, name) for name in write_keys.OPERATIONS},
        "apply": lambda payload: _apply(running, payload),
        "rollback": lambda payload: _rollback(running, payload),
        "campaign": lambda payload: _campaign(running, payload),
        "experiment": lambda payload: _experiment(running, payload),
        "experiment_update": lambda payload: _experiment_update(running, payload),
        "ingest": lambda payload: _ingest(running, payload),
        "scores_load": lambda payload: _scores_load(running, payload),
        **{name: partial(_model, running, name) for name in ("model_train", "model_rollback")},
        **{name: partial(_suppressions, running, name) for name in suppressing.OPERATIONS},
        "profile_erase": lambda payload: _profile_erase(running, payload),
        "parked_replay": lambda payload: _parked_replay(running, payload),
        "schedule": lambda payload: _schedule(running, payload),
        "tick": lambda payload: _tick(running, payload),
        "reload": lambda _payload: _reload(running),
        "status": lambda _payload: _status(running),
    }


def _apply(running: Running, payload: Any) -> dict[str, Any]:
    """Make {"files": {path: text}} the live workspace and play by it from now on."""
    from engine.release.publish import apply_files

    done = apply_files(
        running.database,
        payload,
        write=running.write,
        now=present,
        blind=running.vault.mark,
        build=running.finish_backfill,
    )
    running.reload()
    return done


def _rollback(running: Running, payload: Any) -> dict[str, Any]:
    """Play the files of an earlier release again: {"to": number or None}."""
    from engine.release.rolling_back import roll_back

    done = roll_back(
        running.database,
        payload["to"],
        write=running.write,
        now=present,
        environ=os.environ,
        blind=running.vault.mark,
    )
    running.reload()
    return done


def _campaign(running: Running, payload: Any) -> dict[str, Any]:
    """Carry out an operator's order (`release.operating.Order`)."""
    from engine.release.operating import carry_out_payload

    return _ordered(running, payload, carry_out_payload)


def _experiment(running: Running, payload: Any) -> dict[str, Any]:
    """Carry out an operator's order (`release.experiment_orders.ExperimentOrder`)."""
    from engine.readout.mismatches import explained
    from engine.release.experiment_orders import order_payload

    with running.database.read() as connection:
        order = explained(connection, _applied(running), payload, as_of=present())
    return _ordered(running, order, order_payload)


def _ordered(
    running: Running, payload: Any, carry_out: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """Carry out an order and play by it from now on."""
    workspace = _applied(running).workspace
    done: dict[str, Any] = running.write(
        lambda connection: carry_out(connection, payload, workspace=workspace, now=present())
    )
    if done["release"]:
        running.reload()
    return done


def _applied(running: Running) -> Playbook:
    if running.playbook is None:
        raise UsageError("nothing is applied yet. Run: antiphon apply")
    return running.playbook


def _experiment_update(running: Running, payload: Any) -> dict[str, Any]:
    """Let bandits learn: {"name": one or "all"}."""
    from engine.bandits.updating import update_payload

    playbook = _applied(running)
    done = update_payload(
        running.database, payload, playbook=playbook, write=running.write, now=present()
    )
    if any(it["is_new"] for it in done["bandits"]):
        running.reload()
    return done


def _schedule(running: Running, payload: Any) -> dict[str, Any]:
    """Answer a flow of Prefect about the run that it carries out (`scheduling.carrying_out`)."""
    from engine.scheduling.carrying_out import answer

    return answer(running.schedules.means, payload)


def _ingest(running: Running, payload: Any) -> dict[str, Any]:
    """Load a file of this machine: {"path": …, "mapping": {…}, "live": …}."""
    from engine.intake.loading import ingest_file

    path = payload.get("path")
    if not isinstance(path, str) or path == "-":
        raise UsageError("the running server reads files, not the command's stdin; name a file")
    report = ingest_file(
        path,
        write=partial(_accept_patiently, running),
        declared=running.declared,
        now=present,
        mapping=payload.get("mapping") or {},
        live=bool(payload.get("live")),
    )
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _scores_load(running: Running, payload: Any) -> dict[str, Any]:
    """Make a file of this machine the run that segments read: {"model": …, "path": …}."""
    from engine.scores import load_payload

    return load_payload(
        running.database,
        payload,
        playbook=running.playbook,
        write=running.write,
        now=present(),
    )


def _model(running: Running, name: str, payload: Any) -> dict[str, Any]:
    """Train a model or go back to an older run (`learning.ordering`)."""
    from engine.learning.ordering import OPERATIONS
    from engine.learning.refreshing import Learner
    from engine.scheduling.jobs import TRAINING

    folder = running.settings.directory / DIRECTORY
    learner = Learner(
        running.database, _applied(running), running.write, elapsed, folder,
        apart=running.settings.directory,
    )  # fmt: skip
    with TRAINING:
        return OPERATIONS[name](learner, payload, now=running.present())


def _accept_patiently(running: Running, prepared: Prepared) -> list[Answer]:
    """Commit a group of a file; a full queue slows the file down and nobody else."""
    while True:
        try:
            return running.accept(prepared).result()
        except Overloaded as error:
            time.sleep(error.retry_after_seconds)


def _profile_erase(running: Running, payload: Any) -> dict[str, Any]:
    """Erase a person: {"id": a user id or anonymous id}."""
    from engine.erasing import erase_payload

    done = running.write(
        lambda connection: erase_payload(connection, payload, now=running.present())
    )
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain


def _parked_replay(running: Running, payload: Any) -> dict[str, Any]:
    """Put parked items back: {"ids": […]}, none for all of them."""
    from engine.ticking.replaying import replay

    ids = [int(each) for each in payload.get("ids") or ()]
    done = running.write(
        lambda connection: replay(connection, ids, log=running.log, now=running.present())
    )
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain


def _suppressions(running: Running, name: str, payload: Any) -> Any:
    """Suppress addresses, or lift it: by their hashes alone."""
    return running.write(
        lambda connection: suppressing.OPERATIONS[name](connection, payload, now=running.present())
    )


def _tick(running: Running, payload: Any) -> dict[str, Any]:
    """Wait until everything due by an instant, at most now, has been played: {"until": instant}."""
    until = int(payload["until"])
    if until > present() + 1_000_000:
        raise UsageError(
            f"tick --until {iso(until)}: a running server cannot play the future; stop it first"
        )
    if reason := running.not_ready():
        raise UsageError(reason)
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while running.tick_lag_seconds() > 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    return {"lag_seconds": running.tick_lag_seconds()}


def _reload(running: Running) -> dict[str, Any]:
    """Play by what is applied now."""
    playbook = running.reload()
    return {"release": playbook.program.release if playbook else 0}


def _status(running: Running) -> dict[str, Any]:
    """How the server is doing, for `doctor` and scripts."""
    playbook = running.playbook
    return {
        "release": playbook.program.release if playbook else 0,
        "not_ready": running.not_ready(),
        "waiting": running.waiting(),
        "tick_lag_seconds": running.tick_lag_seconds(),
        "now": present(),
    }
