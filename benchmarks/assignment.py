"""How fast a unit is given its variant: one at a time beside the GrowthBook SDK, and in batch.

    python -m benchmarks.assignment [--units 1000000]

One at a time: an experiment with a condition on two attributes, a slice of a layer and three
variants, for visitors one after another. The floor is `growthbook`'s own `eval_feature` on a
prepared context; beside it `flags.evaluate` with the whole result of an SDK, and the three calls
the engine makes (compiled condition, layer, assignment). Both must agree on every visitor.
Batch: ids as texts, hash version 2 and "s256", one core. All by this process' own CPU time, floor
and ours in turn in the same run. Targets: twice the SDK; 1,000,000 units a second (version 2).

Baseline: see benchmarks/README.md.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from growthbook.common_types import (
    EvaluationContext,
    Feature,
    GlobalContext,
    Options,
    StackContext,
    UserContext,
)
from growthbook.core import eval_feature

from experiments.assignment import assign, in_layer
from experiments.assignment.batch import assign_batch, bucket_batch
from experiments.flags import (
    LayerSlice,
    ServedExperiment,
    ServedVariant,
    Visitor,
    compile_condition,
    evaluate,
    parse_payload,
    payload_document,
)

AUDIENCE = {"country": {"$in": ["FR", "DE", "GB"]}, "age": {"$gte": 18}}
BUTTON = ServedExperiment(
    name="button",
    seed="button:1",
    variants=(
        ServedVariant("control", "blue", 4),
        ServedVariant("green", "green", 3),
        ServedVariant("red", "red", 3),
    ),
    layer=LayerSlice("checkout", 0.0, 0.6),
    audience=AUDIENCE,
)
N_VISITORS = 20_000
ROUNDS = 5


def visitors() -> list[dict[str, Any]]:
    countries = ("FR", "DE", "GB", "US")
    return [
        {"id": f"user-{index}", "country": countries[index % 4], "age": 15 + index % 50}
        for index in range(N_VISITORS)
    ]


def cpu_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def by_sdk(features: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    parsed = {key: Feature(**feature) for key, feature in features.items()}
    context = GlobalContext(options=Options(), features=parsed)

    def value(attributes: dict[str, Any]) -> Any:
        user = UserContext(attributes=attributes)
        return eval_feature("button", EvaluationContext(user, context, StackContext())).value

    return value


def by_flags(document: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    payload = parse_payload(document)
    return lambda attributes: evaluate(payload, "button", Visitor(attributes)).value


def by_engine() -> Callable[[dict[str, Any]], Any]:
    holds = compile_condition(AUDIENCE)
    values = {each.name: each.value for each in BUTTON.variants}
    names = tuple(values)
    weights = tuple(each.weight for each in BUTTON.variants)

    def value(attributes: dict[str, Any]) -> Any:
        unit = attributes["id"]
        if not holds(attributes) or not in_layer(unit, layer_seed="checkout", start=0.0, end=0.6):
            return "blue"
        variant = assign(unit, seed=BUTTON.seed, variants=names, weights=weights).variant
        return values.get(variant or "control")

    return value


def single() -> None:
    people = visitors()
    document = payload_document([BUTTON])
    ways = {
        "growthbook": by_sdk(document["features"]),
        "flags.evaluate": by_flags(document),
        "condition, layer, assign": by_engine(),
    }
    answers = {name: [value(each) for each in people] for name, value in ways.items()}
    assert len({tuple(found) for found in answers.values()}) == 1, "they disagree"
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, value in ways.items():
            taken[name].append(cpu_seconds(lambda value=value: [value(each) for each in people]))
    for name, seconds in taken.items():
        ratios = [floor / own for floor, own in zip(taken["growthbook"], seconds, strict=True)]
        each = 1e6 * statistics.median(seconds) / N_VISITORS
        print(
            f"{name:>26}: {each:6.2f} us a visitor, {statistics.median(ratios):.2f} x the SDK"
            f" (rounds {min(ratios):.2f}-{max(ratios):.2f})"
        )


def batch(n_units: int) -> None:
    names = {
        "user-1234567": [f"user-{index}" for index in range(n_units)],
        "36 characters": [f"{index:08x}-0000-4000-8000-{index:012x}" for index in range(n_units)],
        "not ASCII": [f"Zoë-{index}" for index in range(n_units)],
    }
    for shape, units in names.items():
        works: dict[str, Callable[[], Any]] = {
            "version 2, bucket": lambda units=units: bucket_batch("s", units),
            "version 2, assign": lambda units=units: assign_batch(
                units, seed="s", variants=("a", "b", "c"), weights=(4, 3, 3), coverage=0.5
            ),
            "s256, bucket": lambda units=units: bucket_batch("s", units, version="s256"),
        }
        for name, work in works.items():
            rate = n_units / min(cpu_seconds(work) for _ in range(2))
            print(f"{shape:>14}, {name}: {rate / 1e6:5.2f} M units/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()} on {platform.machine()}, one core, CPU time")
    single()
    batch(arguments.units)


if __name__ == "__main__":
    main()
