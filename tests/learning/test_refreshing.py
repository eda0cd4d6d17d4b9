"""Models trained, judged and published on a shop that has habits; both databases."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import UsageError
from engine.core.model.effects import PickAsk
from engine.core.model.instants import DAY, HOUR, ProfileId
from engine.erasing import erase
from engine.learning.ordering import OPERATIONS
from engine.learning.picking import Picker, Shown
from engine.learning.refreshing import (
    Learner,
    Refreshed,
    _write_page,
    page_of,
    refresh,
    rehearse,
)
from engine.learning.shown import table
from engine.learning.watching import standings
from engine.scheduling.jobs import JOBS
from engine.scheduling.means import Means
from engine.scheduling.plans import plans_of
from engine.scheduling.rows import Run
from engine.settings import DIRECTORY
from engine.steady import elapsed
from engine.store import migrate, models, scores
from engine.store.database import Database
from tests.engine.publishing import Published
from tests.learning.shopping import SHOP, a_shop
from tests.rig.stage import NOON

LEARNT = {name: text for name, text in SHOP.items() if "shoppers" not in name}
"""Without the clustering, whose honest search for the number of groups takes ten seconds."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop once for all, as a SQLite file."""
    path = tmp_path_factory.mktemp("learning") / "shop.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.close()
    a_shop(f"sqlite:///{path}", files=LEARNT).close()
    return path


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Iterator[Published]:
    """A copy of it, an hour after its last event."""
    for file in built.parent.glob("shop.db*"):
        shutil.copy(file, tmp_path / file.name)
    opened = Published(f"sqlite:///{tmp_path / 'shop.db'}", now=NOON + HOUR)
    opened._numbers = count(1_000_000)  # Ids of messages that the building has not used.
    opened.apply(LEARNT)
    yield opened
    opened.close()


@pytest.fixture
def either(database_url: str) -> Iterator[Published]:
    """A shop of its own, once a database."""
    opened = a_shop(database_url, files=LEARNT, n=160)
    yield opened
    opened.close()


def a_learner(shop: Published, folder: Path | None = None) -> Learner:
    process = shop.process
    return Learner(process.database, process.playbook, process.write, elapsed, folder)


def refreshed(shop: Published, name: str, **more: Any) -> Refreshed:
    return refresh(a_learner(shop), name, as_of=shop.now, now=shop.now, **more)


def asked(shop: Published, profile: int, *, picker: Picker | None = None, n: int = 4) -> Shown:
    ask = PickAsk(ProfileId(profile), "also-bought", n, 0, (), (), shop.now)
    with shop.process.database.read() as connection:
        return (picker or Picker()).shown(connection, shop.process.playbook, ask)


def test_both_databases_teach_alike_and_their_segments_read_it(either: Published) -> None:
    shop = either
    done = refreshed(shop, "churn")
    refreshed(shop, "also-bought")
    hours = refreshed(shop, "hour")
    shop.settle()

    ((inside,),) = shop.rows("SELECT count(*) FROM membership WHERE segment = 'leaving'")
    found = asked(shop, 1)
    assert (done.status, done.n_scored) == ("champion", 160)
    assert (hours.status, hours.n_scored) == ("champion", 160)
    assert 40 < inside < 120, "half of the shop has stopped buying"
    assert (found.run, found.is_personal, len(found.rows)) == (1, True, 4)


def test_a_score_is_trained_published_and_read_by_segments(shop: Published) -> None:
    done = refreshed(shop, "churn")
    shop.settle()

    ((inside,),) = shop.rows("SELECT count(*) FROM membership WHERE segment = 'leaving'")
    with shop.process.database.read() as connection:
        said = scores.details(connection, 1)["churn"]
        champion = models.champion_of(connection, "churn")
    assert (done.status, done.n_scored) == ("champion", 240)
    assert done.metrics["primary"]["value"] > 0.9
    assert 60 < inside < 180, "half of the shop has stopped buying"
    assert '"why"' in said[1]
    assert champion is not None
    assert (champion.about.as_of, champion.about.seed > 0) == (shop.now, True)


def test_the_same_history_gives_the_same_run(shop: Published) -> None:
    refreshed(shop, "churn")
    refreshed(shop, "churn")

    hashes = shop.rows("SELECT DISTINCT config_hash, data_hash, seed FROM model_run")
    values = shop.rows(
        "SELECT count(DISTINCT value), count(DISTINCT profile_id) FROM model_score "
        "WHERE model = 'churn' GROUP BY profile_id HAVING count(DISTINCT value) > 1"
    )
    assert len(hashes) == 1
    assert values == []


def test_a_run_of_a_schedule_is_done_once(shop: Published) -> None:
    first = refreshed(shop, "hour", is_once=True)
    again = refreshed(shop, "hour", is_once=True)

    assert (first.status, again.status) == ("champion", "done")
    assert shop.rows("SELECT count(*) FROM model_run WHERE model = 'hour'") == [(1,)]


def test_a_scheduled_run_that_comes_after_a_later_one_does_not_take_its_place(
    shop: Published,
) -> None:
    # Broken off and begun again, when the next refresh was done already.
    early = shop.now
    shop.now += HOUR
    later = refreshed(shop, "hour", is_once=True)

    belated = refresh(a_learner(shop), "hour", as_of=early, now=shop.now, is_once=True)

    assert (later.status, belated.status, belated.run) == ("champion", "done", later.run)
    assert shop.rows("SELECT run, as_of FROM model_run WHERE status = 'champion'") == [
        (later.run, shop.now)
    ]


def test_a_rehearsal_keeps_nothing(shop: Published) -> None:
    found = rehearse(a_learner(shop), "hour", as_of=shop.now, now=shop.now)

    assert (found.status, found.n_scored) == ("dry", 240)
    assert shop.rows("SELECT count(*) FROM model_run") == [(0,)]


def test_too_little_is_refused_with_what_is_missing_and_the_champion_stays(
    shop: Published,
) -> None:
    refreshed(shop, "churn")
    early = shop.now - 200 * DAY

    done = refresh(a_learner(shop), "churn", as_of=early, now=shop.now)

    assert done.status == "refused"
    assert "too short to learn what follows within 30 days" in done.verdict
    with shop.process.database.read() as connection:
        champion = models.champion_of(connection, "churn")
    assert champion is not None
    assert champion.run == 1


def test_an_unknown_model_and_the_future_are_refused(shop: Published) -> None:
    with pytest.raises(UsageError, match=r'no model "chrun".*churn'):
        refreshed(shop, "chrun")
    with pytest.raises(UsageError, match="still to come"):
        refresh(a_learner(shop), "churn", as_of=shop.now + 1, now=shop.now)


def test_a_recommender_answers_with_items_of_today_and_says_why(shop: Published) -> None:
    refreshed(shop, "also-bought")

    found = asked(shop, 1)

    assert (found.run, found.is_personal, len(found.rows)) == (1, True, 4)
    assert all(row["source"] == "collaborative" and row["title"] for row in found.rows)
    assert all(row["reason"].startswith("because you ") for row in found.rows)


def test_what_was_just_bought_is_not_shown(shop: Published) -> None:
    refreshed(shop, "also-bought")
    picker = Picker()
    first = asked(shop, 1, picker=picker).rows[0]["id"]
    shop.track("u1", "Order Completed", revenue=5, products=[{"product_id": first}])

    found = asked(shop, 1, picker=picker, n=30)

    assert first not in [row["id"] for row in found.rows]
    assert found.why_not[first] == "bought lately"


def test_a_reason_that_was_bought_is_called_so_whatever_may_be_shown_again(
    shop: Published,
) -> None:
    refreshed(shop, "also-bought")
    shop.now += 11 * DAY  # By now nothing is hidden for having been bought.

    found = asked(shop, 1)

    with shop.process.database.read() as connection:
        lately = connection.execute(
            "SELECT count(*) FROM event WHERE profile_id = 1 AND name = 'Order Completed' "
            "AND at > ?", (shop.now - 10 * DAY,),
        )  # fmt: skip
    assert lately == [(0,)]
    assert found.is_personal
    assert {row["reason"].rsplit(" ", 2)[0] for row in found.rows} == {"because you bought"}


def test_two_trainings_may_write_the_report_of_one_model_at_once(tmp_path: Path) -> None:
    pages = [str(number) * 200_000 for number in range(4)]

    def write(page: str) -> None:
        for _ in range(30):
            _write_page(tmp_path, "churn", page)

    with ThreadPoolExecutor(len(pages)) as threads:
        list(threads.map(write, pages))

    assert page_of(tmp_path, "churn").read_text() in pages
    assert [it.name for it in (tmp_path / "reports").iterdir()] == ["model-churn.html"]


def test_who_refuses_profiling_has_no_score_and_sees_what_everybody_sees(shop: Published) -> None:
    shop.identify("u1", profiling=False)
    shop.now += HOUR
    shop.settle()
    refreshed(shop, "churn")
    refreshed(shop, "also-bought")

    found = asked(shop, 1)

    with shop.process.database.read() as connection:
        assert "churn" not in scores.details(connection, 1)
        assert "churn" in scores.details(connection, 2)
    assert not found.is_personal
    assert {row["source"] for row in found.rows} == {"popular"}
    assert {row["reason"] for row in found.rows} == {""}


def test_a_stale_recommender_falls_down_its_chain_and_the_list_says_so(shop: Published) -> None:
    refreshed(shop, "also-bought")
    shop.now += 15 * DAY

    found = asked(shop, 1)
    with shop.process.database.read() as connection:
        listed = standings(connection, shop.process.playbook.workspace, now=shop.now)
    (standing,) = [it for it in listed if it.model == "also-bought"]

    assert found.is_stale
    assert {row["source"] for row in found.rows} == {"popular"}
    assert standing.is_stale
    assert "also-bought is stale" in table(listed, now=shop.now)


def test_without_a_champion_what_everybody_buys_by_the_log_is_shown(shop: Published) -> None:
    found = asked(shop, 1)

    assert (found.run, len(found.rows)) == (0, 4)
    assert {row["source"] for row in found.rows} == {"popular"}


def test_a_process_asks_the_new_champion_as_soon_as_there_is_one(shop: Published) -> None:
    picker = Picker()
    refreshed(shop, "also-bought")
    before = asked(shop, 1, picker=picker).run
    refreshed(shop, "also-bought")

    assert (before, asked(shop, 1, picker=picker).run) == (1, 2)


def test_a_retrain_after_an_erasure_equals_one_that_never_saw_the_person(
    shop: Published,
) -> None:
    # Somebody who comes, is learnt from, and is erased again.
    refreshed(shop, "hour")
    refreshed(shop, "also-bought")
    without = shop.rows("SELECT model, data_hash FROM model_run ORDER BY model")
    earlier = shop.now - DAY
    shop.send(
        *(
            {
                "type": "track", "userId": "u999", "event": "Product Viewed",
                "timestamp": "2026-02-20T10:00:00Z", "properties": {"product_id": f"tea{i}"},
            }
            for i in range(8)
        )
    )  # fmt: skip
    shop.now += HOUR
    shop.settle()
    ((number,),) = shop.rows("SELECT profile_id FROM identity WHERE value = 'u999'")
    refreshed(shop, "also-bought")
    done = shop.process.write(lambda it: erase(it, number, now=shop.now))

    for name in ("hour", "also-bought"):
        refreshed(shop, name)

    again = shop.rows(
        "SELECT model, data_hash FROM model_run WHERE status = 'champion' ORDER BY model"
    )
    assert earlier < shop.now
    assert done.models == ["also-bought", "hour"]
    assert again == without
    assert shop.rows("SELECT count(*) FROM model_run WHERE status = 'champion' "
                     "AND retrain_by IS NOT NULL") == [(0,)]  # fmt: skip


def test_every_model_is_a_schedule_whose_run_trains_it_once_and_leaves_its_report(
    shop: Published, tmp_path: Path
) -> None:
    (tmp_path / DIRECTORY).mkdir()
    process = shop.process
    means = Means(
        tmp_path, process.database, process.vault, process.write, lambda: process.playbook,
        lambda: shop.now,
    )  # fmt: skip
    (plan,) = [it for it in plans_of(process.playbook.workspace).values() if it.model == "hour"]
    run = Run("refresh-hour", shop.now, plan, "test", 1)

    first = JOBS["model-refresh"](means, run)
    again = JOBS["model-refresh"](means, run)

    assert "hour: run 1 is what is read now" in first.said
    assert again.said == "hour: run 1 knows as much already"
    reports = tmp_path / DIRECTORY / "reports"
    assert '<a href="model-hour.html">hour</a>' in (reports / "models.html").read_text()
    assert "Whose hour is which" in (reports / "model-hour.html").read_text()


def test_the_orders_of_commands_are_plain_data(shop: Published, tmp_path: Path) -> None:
    learner = a_learner(shop, tmp_path)
    order = partial(OPERATIONS["model_train"], learner, now=shop.now)

    first = order({"model": "also-bought", "as_of": None})
    second = order({"model": "also-bought", "as_of": shop.now})
    back = OPERATIONS["model_rollback"](learner, {"model": "also-bought", "to": None}, now=shop.now)

    assert (first["run"], second["run"], back["run"]) == (1, 2, 3)
    assert back["verdict"].startswith("rolled back to run 1")
    assert (tmp_path / "reports" / "model-also-bought.html").exists()
