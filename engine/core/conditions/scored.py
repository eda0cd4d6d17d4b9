"""`score` and `cluster`: what the champion run of a model says of a profile.

Whoever is not in that run has no score: no comparison holds of it, `is_not` neither. Nor has
whoever refuses to be profiled, from the moment they say so.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from engine.core.conditions.comparisons import NO, YES, Answer, compile_test
from engine.core.conditions.compiled import Ask, Compiled
from engine.core.errors import CampaignError
from engine.core.model.campaigns import Profiling, Program
from engine.core.model.conditions import ClusterCondition, Comparison, ScoreCondition
from engine.core.model.instants import Instant
from engine.core.model.people import Score
from engine.core.profiling import may_be_profiled

Cut: TypeAlias = Callable[[Score | None], bool]
"""Whether what a run says of a profile (None: nothing) is inside."""


def compile_cut(condition: ScoreCondition | ClusterCondition) -> Cut:
    """The test of one condition.

    Raises:
        CampaignError: If a comparison cannot be compiled, or none is given.
    """
    is_cluster = isinstance(condition, ClusterCondition)
    words = condition.label if isinstance(condition, ClusterCondition) else ()
    numbers = condition.confidence if isinstance(condition, ClusterCondition) else condition.value
    percentiles = () if isinstance(condition, ClusterCondition) else condition.percentile
    if not (words if is_cluster else numbers or percentiles):
        raise CampaignError(f'the model "{condition.model}" is asked nothing')
    of_word, of_number, of_percentile = _tests(words), _tests(numbers), _tests(percentiles)
    return lambda score: (
        score is not None
        and of_word(score.label)
        and of_number(score.value)
        and of_percentile(score.percentile)
    )


def compile_scored(
    condition: ScoreCondition | ClusterCondition, *, profiling: Profiling
) -> Compiled:
    """The closure of one condition."""
    cut, model, trait = compile_cut(condition), condition.model, profiling.trait

    def ask(features: Any, profile: Any, now: Instant) -> Answer:
        if not cut(profile.scores.get(model)):
            return NO
        return YES if may_be_profiled(profile.traits.get(trait), profiling) else NO

    asking: Ask = ask
    return Compiled(asking, traits=frozenset({trait}), facts=frozenset({f"score:{model}"}))


def cuts_of(program: Program) -> dict[str, list[Cut]]:
    """Every cut that anything of a program makes through a model's scores, by model."""
    cuts: dict[str, list[Cut]] = {}
    for condition in _scored_in((program.segments, program.campaigns, program.pinned)):
        cuts.setdefault(condition.model, []).append(compile_cut(condition))
    return cuts


def _scored_in(part: Any) -> Iterator[ScoreCondition | ClusterCondition]:
    if isinstance(part, ScoreCondition | ClusterCondition):
        yield part
    elif isinstance(part, Struct):
        for name in part.__struct_fields__:
            yield from _scored_in(getattr(part, name))
    elif isinstance(part, Mapping | tuple):
        for each in part.values() if isinstance(part, Mapping) else part:
            yield from _scored_in(each)


def _tests(comparisons: tuple[Comparison, ...]) -> Callable[[Any], bool]:
    tests = [compile_test(one) for one in comparisons]
    return lambda value: all(test(value) for test in tests)
