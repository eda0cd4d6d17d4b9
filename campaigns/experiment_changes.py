"""What a plan says of experiments: which edit opens a phase, and which moves nobody.

More coverage, another analysis, a stop: the phase and everyone's variant stay. Any other edit is
another experiment, which only units never exposed will see.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from campaigns.changes import Change, changed
from campaigns.compile import designs
from campaigns.experiment_plans import planned
from campaigns.experiments import compile_analysis, compile_metrics_named
from campaigns.workspace import Workspace


def experiments_changed(old: Workspace | None, new: Workspace) -> Iterator[Change]:
    before = {} if old is None else designs(old)
    after = designs(new)
    coverage_before = {} if old is None else _plans(old)
    coverage_after = _plans(new)
    for name in sorted({*before, *after}):
        if name not in before:
            weights = ", ".join(f"{arm} {share}" for arm, share in _shares(after[name]))
            yield Change("+", _construct(after[name]), name, (weights,), opens_phase=True)
        elif name not in after:
            yield Change(
                "-", _construct(before[name]), name, ("its phase ends; what it gathered stays",)
            )
        else:
            construct = _construct(after[name])
            reasons = _design_changes(before[name], after[name])
            was, now = coverage_before[name], coverage_after[name]
            if now["coverage"] < was["coverage"]:
                reasons.append(
                    f"coverage shrinks from {was['coverage']:.0%} to {now['coverage']:.0%}"
                )
            if reasons:
                reasons.append("a new phase opens: only profiles never exposed will see it")
                yield Change("~", construct, name, tuple(reasons), opens_phase=True)
                continue
            kept: list[str] = []
            if now["coverage"] > was["coverage"]:
                kept.append(f"coverage grows from {was['coverage']:.0%} to {now['coverage']:.0%}")
            for key in ("metrics", "analysis"):
                if now[key] != was[key]:
                    kept.append(f"{key} changed while it runs: the report will say so")
                    kept += changed(key, was[key], now[key])
            kept += _state_changes(was, now)
            if kept:
                yield Change("~", construct, name, (*kept, "the phase and everyone's variant stay"))


def _construct(design: Mapping[str, Any]) -> str:
    return "cap" if "cap" in design else "experiment"


def _state_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A stop, a start, another winner: who gets what changes, but no draw does."""
    if (was["state"], was["winner"]) == (now["state"], now["winner"]):
        return
    if was["state"] != now["state"]:
        yield f"state: {was['state']} -> {now['state']}"
    if now["state"] == "stopped":
        given = f'"{now["winner"]}", the winner' if now["winner"] else "what the control gets"
        yield f"everybody gets {given}; nobody is exposed any more"
    elif now["state"] == "draft":
        yield "nobody is exposed until it is live"


def phase_reasons(old: Workspace, new: Workspace, experiment: str) -> tuple[str, ...]:
    """Why applying `new` opens a new phase of an experiment; empty if its phase stays."""
    return next(
        (
            change.details
            for change in experiments_changed(old, new)
            if change.name == experiment and change.opens_phase
        ),
        (),
    )


def _plans(workspace: Workspace) -> dict[str, dict[str, Any]]:
    return {
        str(found.name): {
            "coverage": found.coverage,
            "metrics": {
                role: list(names) for role, names in compile_metrics_named(found.metrics).items()
            },
            "analysis": compile_analysis(found.analysis, found.metrics),
            "state": found.state,
            "winner": found.winner,
        }
        for found in planned(workspace)
    }


def _shares(design: Mapping[str, Any]) -> list[tuple[str, str]]:
    total = sum(design["weights"].values())
    return [(name, f"{weight / total:.0%}") for name, weight in design["weights"].items()]


def _design_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    reasons: list[str] = []
    was, now = before["weights"], after["weights"]
    reasons += [f'variant "{name}" is new' for name in now if name not in was]
    reasons += [f'variant "{name}" is gone' for name in was if name not in now]
    both = [name for name in now if name in was]
    reasons += [
        f'the weight of "{name}" changes from {was[name]} to {now[name]}'
        for name in both
        if was[name] != now[name]
    ]
    reasons += [
        f'the steps of "{name}" changed'
        for name in both
        if before["arms"].get(name) != after["arms"].get(name)
    ]
    reasons += [
        f"the template {name} changed"
        for name, hashed in after["templates"].items()
        if name in before["templates"] and before["templates"][name] != hashed
    ]
    if before["control"] != after["control"]:
        reasons.append(f'the control is "{after["control"]}", no longer "{before["control"]}"')
    if before["layer"] != after["layer"]:
        reasons.append("its place in a layer changed")
    for key, words in _RULE_WORDS.items():
        if before.get(key) != after.get(key):
            reasons.append(words)
    if "values" in before and "values" in after:
        reasons += [
            f'the value of "{name}" changed'
            for name in both
            if before["values"][name] != after["values"][name]
        ]
    elif "values" in before or "values" in after:
        reasons.append(
            "clients are served it now" if "values" in after else "a journey has its step now"
        )
    if not reasons and list(was) != list(now):
        reasons.append("the order of the variants changed, and with it who gets which")
    return reasons


_RULE_WORDS: Final[Mapping[str, str]] = {
    "unit": "another unit is drawn: who was exposed as the other kind may see another variant",
    "hash_version": "the hash changed, and with it who gets which",
    "is_imported": "it is imported, or no longer so",
    "seed": "the imported seed changed, and with it who gets which",
    "namespace": "its place in a namespace changed",
    "forced": "other units are forced into a variant",
    "requires": "it requires other variants",
    "audience": "the audience, or what its segment asks, changed",
    "where": "what clients must say of themselves changed",
    "is_sticky": "whether clients are told what they saw before changed",
    "programme": "it belongs to another programme",
    "bandit": "how it learns its weights changed",
    "contexts": "the contexts that its weights are learnt in changed",
    "context_segments": "what a segment asks that one of its contexts names changed",
    "cap": "what the cap counts changed: its channel, topic or window",
}
"""The parts of a design that only some experiments have (`experiments.rules_of`), in words."""
