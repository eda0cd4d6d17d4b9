"""The analysis plan of an experiment as it is kept from the instant its phase opens.

Canonical JSON and its SHA-256: what was decided before anyone looked. A later edit of metrics or
analysis is allowed, changes no draw, and shows as a difference to this.
"""

from hashlib import sha256

from msgspec import to_builtins

from campaigns.metrics import compile_metrics
from campaigns.workspace import Workspace
from engine.core.clocktime import iso
from engine.core.model.campaigns import Experiment
from engine.core.model.instants import Instant
from experiments.analysis.plan import canonical_json


def frozen_plan(experiment: Experiment, workspace: Workspace, *, started_at: Instant) -> str:
    """Canonical JSON of how an experiment is to be read, each metric with all that it measures."""
    known = compile_metrics(workspace)
    analysis = dict(experiment.analysis)
    runs = analysis.pop("runs", None)
    if runs is not None:
        analysis["ends_at"] = iso(started_at + runs)
    return canonical_json(
        {
            "name": experiment.name,
            "phase": experiment.phase,
            "control": experiment.control,
            "weights": {it.name: it.weight for it in experiment.variants},
            "unit": experiment.unit,
            "bandit": to_builtins(experiment.bandit),
            "roles": {role: list(names) for role, names in experiment.metrics.items()},
            "metrics": {
                name: to_builtins(known[name])
                for names in experiment.metrics.values()
                for name in names
                if name in known
            },
            **analysis,
        }
    )


def plan_hash(text: str) -> str:
    """SHA-256 of a frozen plan, in hex; "" where none was kept."""
    return sha256(text.encode()).hexdigest() if text else ""
