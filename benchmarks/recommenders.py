"""Recommenders: lists for everyone against the Surprise predict loop, training, and one decision.

    python -m benchmarks.recommenders [--ratings 1000000 --users 50000 --items 5000]

The loop (`model.predict` for every user and item, then a sort) is timed on a sample of users and
multiplied; both sides rank the same fitted factors, without what a user has rated. Wanted: 200 x,
the same lists for 99.9 % of the sample, a decision's p99 under 10 ms, 2 GB. One thread of BLAS
where OMP_NUM_THREADS=1 says so.
"""

import argparse
import resource
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from campaigns.models import Exclusions, RecommenderModel
from engine.core.model.instants import DAY
from engine.learning.artifact import pack, unpack
from engine.learning.recommenders import (
    Recommender,
    artifact_of,
    everybody,
    exclusion,
    recommender_of,
    train,
)
from engine.learning.recommenders.batches import top_by_factors
from engine.learning.recommenders.splitting import Part
from engine.learning.recommenders.svd import library_trainset

NOW = 1_700_000_000_000_000
N_FACTORS, N_EPOCHS = 100, 20
SAMPLE = 40
DECISIONS = 2_000


def some_ratings(n: int, users: int, items: int, rng: np.random.Generator) -> Part:
    """Ratings whose items follow Zipf's law and whose stars have four hidden tastes."""
    weights = 1 / np.arange(1, items + 1) ** 0.8
    user, item = rng.integers(users, size=n), rng.choice(items, size=n, p=weights / weights.sum())
    pairs = np.unique(user * items + item)
    user, item = pairs // items, pairs % items
    p, q = rng.normal(size=(users, 4)), rng.normal(size=(items, 4))
    stars = np.clip(np.round(2 * (3.5 + 0.5 * (p[user] * q[item]).sum(axis=1))) / 2, 0.5, 5)
    names = np.asarray([f"item-{it:05}" for it in range(items)])
    times = NOW - rng.integers(0, 365 * DAY, size=len(user))
    order = rng.permutation(len(user))
    return Part(user[order], names[item[order]], stars[order], times[order])


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gave, seconds by the wall and of processor."""
    wall, cpu = perf_counter(), process_time()
    found = call()
    return found, perf_counter() - wall, process_time() - cpu


def against_the_loop(rows: Part, rng: np.random.Generator) -> None:
    """Fit surprise's SVD once, then rank by its predict and by our product."""
    from surprise import SVD

    told = zip(rows.user_ids.tolist(), rows.items.tolist(), rows.weights.tolist(), strict=True)
    known, seconds, _ = timed(lambda: library_trainset(told, (0.5, 5.0)))
    print(f"surprise: training set {seconds:.1f} s", end=", ")
    model = SVD(n_factors=N_FACTORS, n_epochs=N_EPOCHS, random_state=1)
    _, seconds, _ = timed(lambda: model.fit(known))
    print(f"SVD.fit {seconds:.1f} s, peak {peak():,} MB")
    users = np.repeat(np.arange(known.n_users), [len(known.ur[it]) for it in range(known.n_users)])
    items = np.concatenate([[i for i, _ in known.ur[it]] for it in range(known.n_users)])
    seen = csr_array(
        (np.ones(len(users), dtype=np.float32), (users, items)),
        shape=(known.n_users, known.n_items),
    )
    lists, wall, cpu = timed(lambda: top_by_factors(model.pu, model.qi, model.bi, seen=seen, n=10))
    sample = rng.choice(known.n_users, size=SAMPLE, replace=False).tolist()
    theirs, loop, loop_cpu = timed(lambda: [by_predict(model, known, it) for it in sample])
    whole = loop_cpu / SAMPLE * known.n_users
    same = np.mean([lists.items[u].tolist() == it for u, it in zip(sample, theirs, strict=True)])
    exact, everyone = by_double(model, seen), lists.items
    agree = (exact == everyone).all(axis=1).mean()
    print(
        f"top 10 for {known.n_users:,} x {known.n_items:,}: {wall:.2f} s ({cpu:.2f} s of CPU);"
        f" the predict loop {whole:,.0f} s by {SAMPLE} users: {whole / cpu:,.0f} x by processor,"
        f" {loop / SAMPLE * known.n_users / wall:,.0f} x by the wall (wanted 200 x);"
        f" lists equal to the loop's for {same:.1%} of the sample, to float64's for {agree:.2%} of"
        f" all (wanted 99.9 %)"
    )


def by_predict(model: Any, known: Any, user: int) -> list[int]:
    """The documented way: every item by `predict`, sorted; not cut off, or the top would tie."""
    raw, rated = known.to_raw_uid(user), {item for item, _ in known.ur[user]}
    told = [
        (-model.predict(raw, known.to_raw_iid(item), clip=False).est, item)
        for item in known.all_items()
        if item not in rated
    ]
    return [item for _, item in sorted(told)[:10]]


def by_double(model: Any, seen: Any) -> np.ndarray:
    """The same lists in float64, by whole sorts of the best fifty."""
    lists = np.empty((len(model.pu), 10), dtype=np.int32)
    for begin in range(0, len(lists), 512):
        block = model.pu[begin : begin + 512] @ model.qi.T + model.bi
        part = seen[begin : begin + 512]
        rows = np.repeat(np.arange(block.shape[0]), np.diff(part.indptr))
        block[rows, part.indices] = -np.inf
        near = np.sort(np.argpartition(-block, 50, axis=1)[:, :50], axis=1)
        order = np.argsort(-np.take_along_axis(block, near, axis=1), axis=1, kind="stable")
        lists[begin : begin + 512] = np.take_along_axis(near, order[:, :10], axis=1)
    return lists


def trained(rows: Part, kind: Any, rng: np.random.Generator) -> Recommender:
    """Train, keep, read back, list everyone; print what each took."""
    names = np.unique(rows.items).tolist()
    catalog = {
        name: {"title": f"{name} {WORDS[place % 40]}", "category": f"c{place % 30}",
               "price": 5.0 + place % 50, "in_stock": place % 9 > 0}
        for place, name in enumerate(names)
    }  # fmt: skip
    model = RecommenderModel(
        name="x", kind=kind, exclude=Exclusions(price=(6.0, None)), max_per_category=2,
        fallback=("category_popular", "popular", "new"),
    )  # fmt: skip
    bought = Part(rows.user_ids, rows.items, np.full(len(rows.items), 5.0), rows.times)
    found, wall, cpu = timed(lambda: train(bought, catalog, model, now=NOW, rng=rng))
    print(f"{kind}: trained in {wall:.1f} s ({cpu:.1f} s of CPU), peak {peak():,} MB", end="")
    data, packing, _ = timed(lambda: pack(artifact_of(found)))
    kept, reading, _ = timed(lambda: recommender_of(unpack(data)))
    print(f"; kept in {packing:.1f} s as {len(data) / 1e6:.0f} MB, read in {reading:.1f} s", end="")
    if kind == "collaborative":
        _, wall, _ = timed(lambda: everybody(kept, bought, n=10, now=NOW))
        print(f"; top 10 for everyone, events to lists, {wall:.1f} s, peak {peak():,} MB", end="")
    print()
    decisions(kept, bought, catalog, model, rng)
    return kept


def decisions(
    known: Recommender, rows: Part, catalog: Any, model: RecommenderModel, rng: np.random.Generator
) -> None:
    """Print p50 and p99 of one pick of four with every exclusion, one at a time."""
    order = np.argsort(rows.user_ids, kind="stable")
    starts = np.searchsorted(rows.user_ids[order], np.arange(rows.user_ids.max() + 2))
    known.recommend([], n=4, exclude=(), now=NOW)
    taken = []
    for user in rng.integers(rows.user_ids.max() + 1, size=DECISIONS).tolist():
        mine = order[starts[user] : starts[user + 1]]
        history = list(
            zip(rows.items[mine].tolist(), rows.weights[mine].tolist(), rows.times[mine].tolist(),
                strict=True)
        )  # fmt: skip
        bought = {item: at for item, _, at in history}
        began = perf_counter()
        known.recommend(
            history,
            n=4,
            exclude=exclusion(model.exclude, rows=catalog, purchased=bought, now=NOW),
            now=NOW,
        )
        taken.append(perf_counter() - began)
    p50, p99, worst = np.quantile(taken, [0.5, 0.99, 1]) * 1e3
    print(
        f"    one decision of {DECISIONS:,}, {len(catalog):,} items, every exclusion, reasons:"
        f" p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.1f} ms (wanted p99 10 ms)"
    )


WORDS = [f"word{it}" for it in range(40)]


def peak() -> int:
    """MB of resident memory at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--only", choices=["loop", "collaborative", "hybrid"])
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(1)
    rows = some_ratings(given.ratings, given.users, given.items, rng)
    print(f"{len(rows.items):,} ratings, {given.users:,} users, {given.items:,} items")
    if given.only in (None, "loop"):
        against_the_loop(rows, rng)
    for kind in ("collaborative", "hybrid"):
        if given.only in (None, kind):
            trained(rows, kind, rng)


if __name__ == "__main__":
    main()
