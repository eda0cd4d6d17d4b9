"""Whether everybody can be assigned as an experiment says: units, hashes, circles, bandits."""

from collections.abc import Mapping

from campaigns.conditions import Conditions
from campaigns.contexts import check_contexts
from campaigns.experiment_plans import Found, Located, Served, file_of
from campaigns.experiments import compile_where
from campaigns.metric_forms import NOT_OF_ONE_UNIT
from campaigns.problems import advice
from campaigns.reading import Text
from engine.core.assigning import REQUIRED_DEPTH_MAX
from engine.core.model.instants import DAY
from experiments.assignment import HashVersion, assign
from experiments.errors import AssignmentError

_VERSIONS: Mapping[str, HashVersion] = {"2": 2, "s256": "s256", "1": 1}


def check_assignment(found: Found, conditions: Conditions) -> None:
    """Report what of one experiment could not be assigned or would mean nothing."""
    _check_unit(found, conditions)
    _check_hash(found, conditions)
    _check_variants_named(found, conditions)
    _check_bandit(found, conditions)
    _check_dimensions(found, conditions)
    audience = found.given("audience")
    if audience is not None:
        conditions.segment(audience.segment, file_of(found, "audience"))
    if isinstance(found, Served):
        compile_where(conditions, found)
        programme = found.plan.programme
        if programme is not None:
            programmes = {str(name) for name in conditions.workspace.settings.programmes}
            conditions.known("programme", programme, programmes, found.file)


def check_requirements(experiments: Mapping[str, Found], conditions: Conditions) -> None:
    """Report requirements of what does not exist, and experiments that wait for each other."""
    wanted: dict[str, list[str]] = {}
    for name, found in experiments.items():
        file = file_of(found, "requires")
        for it in found.given("requires") or ():
            other = experiments.get(str(it.experiment))
            if other is None:
                hint = advice(it.experiment, [each for each in experiments if each != name])
                conditions.report(
                    file,
                    it.experiment.line,
                    str(it.experiment),
                    f'there is no experiment "{it.experiment}" to require.{hint}',
                )
                continue
            wanted.setdefault(name, []).append(str(it.experiment))
            variants = {str(each) for each in other.variants}
            if it.variant not in variants:
                conditions.report(
                    file,
                    it.variant.line,
                    str(it.variant),
                    f'the experiment "{it.experiment}" has no variant "{it.variant}".'
                    f"{advice(it.variant, variants)}",
                )
    for name, found in experiments.items():
        path = _longest(name, wanted, (name,))
        if path[-1] in path[:-1] and path[-1] == name:
            conditions.report(
                file_of(found, "requires"),
                found.name.line,
                name,
                f"experiments require each other: {' -> '.join(path)}. Break the circle.",
            )
        elif len(path) > REQUIRED_DEPTH_MAX + 1:
            conditions.report(
                file_of(found, "requires"),
                found.name.line,
                name,
                f"{len(path) - 1} experiments require one another in a row; at most "
                f"{REQUIRED_DEPTH_MAX} may.",
            )


def _longest(name: str, wanted: Mapping[str, list[str]], path: tuple[str, ...]) -> tuple[str, ...]:
    """The longest way along requirements, or one that comes back to where it began."""
    longest = path
    for other in wanted.get(name, ()):
        further = (*path, other)
        if other == path[0]:
            return further
        if other in path:
            continue
        further = _longest(other, wanted, further)
        if further[-1] == path[0] and len(further) > 1:
            return further
        longest = max(longest, further, key=len)
    return longest


def _check_unit(found: Found, conditions: Conditions) -> None:
    unit = found.given("unit")
    if unit is None:
        return
    file = file_of(found, "unit")
    if isinstance(found, Located) and unit in ("user", "anonymous"):
        conditions.report(
            file,
            unit.line,
            str(unit),
            f"a journey walks with a profile, which may have several {unit} ids or none. Draw by "
            "profile, or by a trait: unit: traits.account_id.",
        )
    if unit.startswith("traits."):
        _check_trait(Text(unit.removeprefix("traits."), line=unit.line), "unit", file, conditions)


def _check_trait(path: Text, what: str, file: str, conditions: Conditions) -> None:
    name = path.split(".")[0]
    if name in conditions.pii:
        conditions.report(
            file,
            path.line,
            str(path),
            f'the trait "{name}" is pii and so cannot be the {what}. Send what you need as a trait '
            "of its own, such as account_id.",
        )
    elif conditions.traits and name not in conditions.traits:
        conditions.report(
            file,
            path.line,
            str(path),
            f'the trait "{name}" is not declared in antiphon.yaml.'
            f"{advice(name, conditions.traits)}",
        )


def _check_hash(found: Found, conditions: Conditions) -> None:
    plan, file, line = found.plan, file_of(found, "hash"), found.name.line
    version = str(found.given("hash") or "2")
    is_imported = bool(plan and plan.imported)
    if version == "1" and not is_imported:
        conditions.report(
            file,
            line,
            "1",
            "hash: 1 is not independent between experiments. It is only for what began in "
            "GrowthBook: imported: true. Write hash: 2, or leave it out.",
        )
        return
    for key in ("seed", "namespace"):
        if plan is not None and getattr(plan, key) is not None and not is_imported:
            conditions.report(
                plan.file,
                line,
                key,
                f'"{key}" is for experiments that began elsewhere. Delete it, or write '
                "imported: true.",
            )
    weights = found.weights
    try:
        assign(
            "1",
            seed=str(plan.seed) if plan and plan.seed is not None else str(found.name),
            variants=tuple(weights),
            weights=tuple(weights.values()) if any(weights.values()) else (1,) * len(weights),
            coverage=found.coverage if found.bandit is None else 1.0,
            version=_VERSIONS[version],
            imported=is_imported,
        )
    except AssignmentError as error:
        conditions.report(file, line, version, f"{error}.")


def _check_variants_named(found: Found, conditions: Conditions) -> None:
    """Variants that are named somewhere else: by hand, or as the winner."""
    names = {str(name) for name in found.variants}
    for unit, variant in (found.given("forced") or {}).items():
        if variant not in names:
            conditions.report(
                file_of(found, "forced"),
                variant.line,
                str(variant),
                f'"{unit}" is forced into "{variant}", which is not a variant.'
                f"{advice(variant, names)}",
            )
    winner = found.given("winner")
    if winner is None:
        return
    file = file_of(found, "winner")
    if winner not in names:
        conditions.report(
            file,
            winner.line,
            str(winner),
            f'the winner "{winner}" is not a variant.{advice(winner, names)}',
        )
    elif found.state != "stopped":
        conditions.report(
            file,
            winner.line,
            str(winner),
            f"a winner while it is {found.state}: everybody would get it at once. Write state: "
            "stopped as well, or delete the winner.",
        )


def _check_bandit(found: Found, conditions: Conditions) -> None:
    bandit = found.bandit
    if bandit is None:
        return
    file, line = file_of(found, "allocation"), found.name.line
    n_arms = sum(weight > 0 for weight in found.weights.values())
    if bandit.floor * n_arms > 1:
        conditions.report(
            file,
            line,
            "floor",
            f"a floor of {bandit.floor:.0%} for each of {n_arms} arms is more than everyone. Write "
            f"at most {1 / n_arms:.0%}.",
        )
    if n_arms < 2:
        conditions.report(
            file, line, "bandit", "a bandit chooses between two arms at least; one has a weight."
        )
    if str(found.given("hash") or "2") == "1":
        conditions.report(file, line, "bandit", "a bandit cannot go on from hash: 1. Write 2.")
    if found.metrics is not None and len(found.metrics.primary) > 1:
        second = found.metrics.primary[1]
        conditions.report(
            file_of(found, "metrics"),
            second.line,
            str(second),
            f'a bandit learns from one primary metric. Make "{second}" secondary.',
        )
    if found.analysis.runs is not None and found.analysis.runs < max(bandit.every, DAY):
        conditions.report(
            file, line, "runs", "it ends before its weights are learnt once. Let it run longer."
        )
    weights = found.weights
    if weights.get(found.control) == 0:
        conditions.report(
            file,
            line,
            found.control,
            f'the bandit has no arm "{found.control}" to compare with: it needs a weight above 0. '
            "Name another by control:, or give it a weight.",
        )
    check_contexts(found, conditions)
    _check_learnable(found, conditions)


def _check_learnable(found: Found, conditions: Conditions) -> None:
    """A bandit's metrics are final for each unit alone, or nobody can learn from it or read it."""
    if found.bandit is None:
        return
    if found.metrics is None:
        if isinstance(found, Located):  # of a served one it is said anyway
            why = "a bandit needs a metric to learn from. Write metrics: {primary: conversion-3d}"
            conditions.report(file_of(found, "allocation"), found.name.line, "bandit", why)
        return
    for name in found.metrics.names:
        metric = conditions.workspace.metrics.get(str(name))
        if metric is None:
            continue  # said elsewhere
        why = ""
        if metric.measure in NOT_OF_ONE_UNIT:
            why = f"is a {metric.measure}, which no single unit has. Use happened, count or sum"
        elif metric.within is None:
            why = "has no window, so no unit's outcome is ever final. Give the metric within: 7d"
        if why:
            file = file_of(found, "metrics")
            said = f'a bandit cannot be read by "{name}": it {why}, or allocate by planned weights.'
            conditions.report(file, name.line, str(name), said)


def _check_dimensions(found: Found, conditions: Conditions) -> None:
    """What units may be told apart by must be known, and known of a person."""
    file = file_of(found, "analysis")
    for path in found.analysis.dimensions:
        root, _, rest = path.partition(".")
        if root != "traits" or not rest:
            conditions.report(
                file,
                path.line,
                str(path),
                f'the dimension "{path}" is no trait. Write it from its root: traits.country.',
            )
            continue
        _check_trait(Text(rest, line=path.line), "dimension", file, conditions)
