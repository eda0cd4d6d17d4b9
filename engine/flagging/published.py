"""A compiled experiment as clients are told of it, or why only the server can decide it.

An SDK knows the attributes of its visitor and nothing else: no profile, no segment, no holdout of
people, no SHA-256. What needs one of those is evaluated here (OFREP, remote evaluation).
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.core.model.campaigns import OTHERWISE, Allocation, Experiment, Program
from engine.core.model.conditions import ListCondition
from engine.flagging.answering import value_of
from engine.flagging.conditions import sdk_condition
from engine.store.keys import KeyKind
from experiments.assignment import HashVersion
from experiments.errors import AssignmentError
from experiments.flags import (
    LayerSlice,
    Requirement,
    ServedBandit,
    ServedContext,
    ServedExperiment,
    ServedVariant,
)

ATTRIBUTES: Final[Mapping[str, str]] = {"user": "userId", "anonymous": "anonymousId"}
"""What clients call these units among their attributes: as the tracking API does."""
GROUP_MEMBERS_MAX: Final = 1_000
"""A longer list is not sent to clients."""

_VERSIONS: Final[Mapping[str, HashVersion]] = {"2": 2, "s256": "s256", "1": 1}
_ONLY_PROFILE: Final = "it draws by profile, which no client knows"


def attribute_of(unit: str) -> str:
    """The attribute that identifies such a unit, "" for the profile, which has none."""
    if unit.startswith("traits."):
        return unit.removeprefix("traits.")
    return ATTRIBUTES.get(unit, "")


def published(
    experiment: Experiment, program: Program, kind: KeyKind
) -> tuple[ServedExperiment | None, str]:
    """(what such a key's clients are told, "") or (None, why they must ask the server)."""
    why = _why_not(experiment, program, kind)
    if why:
        return None, why
    condition = sdk_condition(experiment.where) or {}
    if experiment.audience:
        condition = {"$and": [condition, {"userId": {"$inGroup": experiment.audience}}]}
    try:
        return _served(experiment, condition, _bandit(experiment, program)), ""
    except AssignmentError as error:
        return None, str(error)


def saved_groups(program: Program, names: set[str]) -> dict[str, list[str]]:
    """The members of each of these segments, all of which `is_small_list` lets be told."""
    return {name: sorted(_members(program, name) or ()) for name in sorted(names)}


def _why_not(it: Experiment, program: Program, kind: KeyKind) -> str:
    if it.state != "live":
        return ""  # one value for everyone
    if not attribute_of(it.unit):
        return _ONLY_PROFILE
    if "." in attribute_of(it.unit):
        return "its unit lies within another attribute"
    if it.bandit is not None and it.bandit.contexts is None:
        return "its weights move, and who is in its permanent slice is decided by SHA-256"
    for context in (it.bandit and it.bandit.contexts) or ():
        if context.condition is not None:
            return f"only the server knows who is in its context {context.name!r}"
        if sdk_condition(context.where) is None:
            return f"its context {context.name!r} asks what SDKs read differently"
    if program.global_holdout is not None and program.global_holdout.share > 0:
        return "the global holdout is drawn by our server, and no client could tell"
    holdout = program.programme_holdouts.get(it.programme)
    if holdout is not None and holdout.share > 0:
        return (
            f"the holdout of the programme {it.programme!r} is drawn by our server, and no client"
            " could tell"
        )
    if it.audience:
        why = _why_not_group(it, program, kind)
        if why:
            return why
    if kind == "browser" and any("@" in unit for unit in it.forced):
        return "its forced units look like addresses, which no page should hold"
    if sdk_condition(it.where) is None:
        return "its `where` asks what SDKs read differently"
    return ""


def _why_not_group(it: Experiment, program: Program, kind: KeyKind) -> str:
    """A small list of user ids may be told to the operator's own servers, and to nobody else."""
    members = _members(program, it.audience)
    if members is None:
        return f"only the server knows who is in the segment {it.audience!r}"
    if it.unit != "user":
        return f"the list of the segment {it.audience!r} holds user ids, and it draws by {it.unit}"
    if kind == "browser":
        return f"the list of the segment {it.audience!r} is nobody else's to read"
    if len(members) > GROUP_MEMBERS_MAX:
        return f"the segment {it.audience!r} has more than {GROUP_MEMBERS_MAX:,} members"
    return ""


def _members(program: Program, segment: str) -> frozenset[str] | None:
    """The user ids of a segment that is exactly one list of them."""
    condition = program.segments.get(segment)
    if not isinstance(condition, ListCondition):
        return None
    found = program.lists.get(condition.list)
    return found.values if found is not None and not found.trait else None


def _bandit(it: Experiment, program: Program) -> ServedBandit | None:
    """The weights in force, for each context, in the order of the variants."""
    if it.bandit is None or it.bandit.contexts is None or it.state != "live":
        return None
    planned = {each.name: each.weight for each in it.variants}
    learnt = program.allocations.get(it.name, ())
    last = learnt[-1] if learnt else Allocation(0, 0, planned)

    def ordered(weights: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(weights.get(each.name, 0) for each in it.variants)

    return ServedBandit(
        version=last.version,
        explore=it.bandit.explore,
        weights=ordered(last.contexts.get(OTHERWISE, last.weights)),
        contexts=tuple(
            ServedContext(
                sdk_condition(each.where) or {},
                ordered(last.contexts.get(each.name, last.weights)),
            )
            for each in it.bandit.contexts
        ),
    )


def _served(
    it: Experiment, condition: dict[str, Any], bandit: ServedBandit | None
) -> ServedExperiment:
    return ServedExperiment(
        name=it.name,
        seed=it.seed,
        variants=tuple(
            ServedVariant(each.name, value_of(it, each.name), each.weight) for each in it.variants
        ),
        control=it.control,
        phase=str(it.phase),
        attribute=attribute_of(it.unit) or "id",  # of what is not live nobody asks the unit
        coverage=it.coverage,
        layer=LayerSlice(*it.layer) if it.layer else None,
        forced=it.forced,
        requires=tuple(Requirement(*each) for each in it.requires),
        audience=condition or None,
        sticky=it.is_sticky,
        version=_VERSIONS[it.hash_version],
        imported=it.is_imported,
        namespace=it.namespace,
        bandit=bandit,
        state=it.state,
        winner=it.winner or None,
    )
