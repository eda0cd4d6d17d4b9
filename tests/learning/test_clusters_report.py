"""The clusters' report says who is who, escaped, whole, and without a script."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from math import nan

import numpy as np

from campaigns.models import ClusterModel
from engine.learning.clusters import Clusters, fit, hold, transitions
from engine.learning.clusters.report import html, markdown, text
from engine.learning.matrix import Matrix
from tests.learning.clusters_people import shoppers


def two_runs() -> tuple[Clusters, dict[tuple[int, int], int]]:
    model = ClusterModel("shoppers", k=(2, 5))
    matrix, _ = shoppers(n=1_200)
    later, _ = shoppers(n=1_200, seed=2)
    first = fit(matrix, model, rng=np.random.default_rng(1))
    second = fit(later, model, rng=np.random.default_rng(2), before=first)
    stood = first.assign(matrix)
    stands = second.assign(later)
    before = hold(None, stood.ids, stood.groups, runs=1, living=first.names)
    now = hold(before, stands.ids, stands.groups, runs=1, living=second.names)
    return second, transitions(before, now)


class Balanced(HTMLParser):
    """Every tag that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_holds_every_group_feature_and_trial() -> None:
    clusters, moves = two_runs()

    page = html(clusters, moves=moves, title="<Shoppers>", as_of="2026-11-23")

    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "&lt;Shoppers&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"http", page)
    for group in clusters.groups:
        assert group.title in page
        assert group.label in page
    assert page.count("<svg") == len(clusters.groups) + 1
    assert "Who moved" in page
    assert f"{sum(moves.values()):,} people in both runs" in page


def test_the_first_run_has_nothing_to_compare_with() -> None:
    clusters, _ = two_runs()

    assert "first run" in html(clusters)


def test_text_and_markdown_tell_the_same_groups() -> None:
    clusters, moves = two_runs()

    told, marked = text(clusters, moves=moves), markdown(clusters, moves=moves)

    moved = sum(n for (start, end), n in moves.items() if start != end)
    assert f"{moved:,} of {sum(moves.values()):,} people moved" in told
    for group in clusters.groups:
        assert group.description in told
        assert f"`{group.label}`" in marked
    widths = [line.count("|") for line in marked.splitlines() if line.startswith("| ---")]
    assert len(widths) == 4


def test_a_number_of_groups_that_was_not_tried_to_the_end_has_no_stability_to_tell() -> None:
    clusters, _ = two_runs()
    untried = replace(clusters.trials[0], seeds=nan, bootstraps=nan, why="not needed")

    told = text(replace(clusters, trials=(untried,)))

    assert "stability" not in told
    assert re.search(r"silhouette [\d.]+: not needed", told)


def test_a_past_group_is_still_called_by_its_label_in_the_moves() -> None:
    matrix, truth = shoppers(n=1_200)
    first = fit(matrix, ClusterModel("s", k=(3, 3)), rng=np.random.default_rng(1))
    stays = truth != 2
    second = fit(
        Matrix(matrix.ids[stays], matrix.names, matrix.values[stays]),
        ClusterModel("s", k=(2, 2)), rng=np.random.default_rng(1), before=first,
    )  # fmt: skip

    gone = next(iter(second.past))

    assert second.past[gone] in html(second, moves={(gone, second.groups[0].id): 3})
