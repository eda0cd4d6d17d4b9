"""What schedules run: begun by the tick, done as plain functions, a second time without effect."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import UsageError
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.schedule import Cron, Every
from engine.scheduling import broadcast as broadcasting
from engine.scheduling import rows
from engine.scheduling.carrying_out import answer, carry_out
from engine.scheduling.handing_over import NotHandedOver
from engine.scheduling.jobs import JOBS, REPORTS, Outcome
from engine.scheduling.means import Means
from engine.scheduling.native import deployment_name
from engine.scheduling.plans import Plan, encode, plans_of
from engine.scheduling.rows import HELD, Run
from engine.scheduling.ticking import Scheduling
from engine.settings import DIRECTORY
from engine.store.connection import Connection
from tests.engine.publishing import CART, FILES, SETTINGS, Published
from tests.engine.test_schedule import at

SCHEDULES = """
schedules:
  news: {run: broadcast, campaign: news, audience: buyers, every: 1d, start: 2026-03-02T09:00:00Z}
  sweep: {run: retention, every: 1h}
  bandit-updates: {paused: true}
"""
NEWS = """campaign: news
trigger: {api: true}
topic: offers
journey:
  - send: {channel: email, template: soft}
    id: tell
"""
BUYERS = "segment: buyers\nwhen: {event: Product Added, ever: true}\n"
SHOP = {
    **FILES,
    "antiphon.yaml": SETTINGS + SCHEDULES,
    "campaigns/cart.yaml": CART.replace("topic:", "goal: {metric: ordered}\nholdout: 20%\ntopic:"),
    "campaigns/news.yaml": NEWS,
    "segments/buyers.yaml": BUYERS,
    "metrics/ordered.yaml": "metric: ordered\nevent: Order Completed\nwithin: 1d\n",
}


@pytest.fixture
def shop(database_url: str) -> Iterator[Published]:
    found = Published(database_url)
    found.apply(SHOP)
    yield found
    found.close()


def means_of(shop: Published, folder: Path, **more: Any) -> Means:
    (folder / DIRECTORY).mkdir(exist_ok=True)
    lock = threading.Lock()

    def write(change: Callable[[Connection], Any]) -> Any:
        with lock:
            return shop.process.write(change)

    given: dict[str, Any] = {"plays": True, **more}
    return Means(
        folder, shop.process.database, shop.process.vault, write,
        lambda: shop.process.playbook, lambda: shop.now, **given,
    )  # fmt: skip


def a_scheduling(means: Means, **more: Any) -> Scheduling:
    given = {"owner": "a", "is_alone": True, "is_steady": lambda: True, **more}
    return Scheduling(means, **given)


def a_run(shop: Published, name: str, *, fire_at: Instant | None = None) -> Run:
    plan = plans_of(shop.process.playbook.workspace)[name]
    return Run(name, shop.now if fire_at is None else fire_at, plan, "a", 1)


def results(shop: Published) -> dict[str, str]:
    return {
        str(name): str(result)
        for name, result in shop.rows(
            "SELECT schedule, result FROM schedule_run WHERE finished_at IS NOT NULL"
        )
    }


def test_the_table_holds_ours_and_the_workspaces_but_none_that_is_paused(shop: Published) -> None:
    plans = plans_of(shop.process.playbook.workspace)

    assert list(plans) == ["experiment-reports", "segment-backfill", "retention", "news", "sweep"]
    assert plans["sweep"] == Plan("retention", Every(HOUR), "UTC", HOUR)
    assert plans["retention"].times == Cron("30 3 * * *")


def test_a_tick_begins_what_is_due_and_writes_down_what_came_of_it(
    shop: Published, tmp_path: Path
) -> None:
    scheduling = a_scheduling(means_of(shop, tmp_path))
    assert scheduling.tick() == []

    shop.now += HOUR + SECOND
    (run, *_) = claimed = scheduling.tick()
    scheduling.wait()
    again = scheduling.tick()
    scheduling.close()

    assert {it.schedule for it in claimed} <= {"sweep", "segment-backfill"}
    assert run.owner == "a"
    assert not {it.schedule for it in again} & {it.schedule for it in claimed}
    assert set(results(shop).values()) <= {
        "nothing was old enough", "no release is being prepared",
    }  # fmt: skip


def test_while_the_clock_cannot_be_trusted_nothing_begins(shop: Published, tmp_path: Path) -> None:
    is_steady = [True]
    scheduling = a_scheduling(means_of(shop, tmp_path), is_steady=lambda: is_steady[0])
    scheduling.tick()
    shop.now += DAY
    is_steady[0] = False

    assert scheduling.tick() == []
    is_steady[0] = True
    assert scheduling.tick() != []
    scheduling.close()


def test_of_two_that_share_a_database_one_leads(shop: Published, tmp_path: Path) -> None:
    first = a_scheduling(means_of(shop, tmp_path), is_alone=False)
    second = a_scheduling(means_of(shop, tmp_path), owner="b", is_alone=False)
    first.tick()
    second.tick()
    shop.now += HOUR + SECOND  # longer than the lease: whoever asks first leads now
    assert first.tick() != []
    assert second.tick() == []
    first.wait()

    first.close()
    shop.now += HOUR

    assert second.tick() != []
    second.close()


# --- broadcasts -----------------------------------------------------------------------------------


def test_a_broadcast_starts_its_campaign_once_for_everyone_in_the_audience(
    shop: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasting, "CHUNK", 4)
    monkeypatch.setattr(broadcasting, "COMMIT", 3)
    shop.carts(10)
    shop.identify("u99")  # never put anything into a cart
    shop.settle()
    means, run = means_of(shop, tmp_path), a_run(shop, "news")

    chunks = broadcasting.broadcast_chunks(means, run)
    first = JOBS["broadcast"](means, run)
    again = JOBS["broadcast"](means, run)
    shop.settle()

    assert len(chunks) == 3
    assert first.said == "started for 10 people in 3 chunks"
    assert again.said == "started for 0 people in 3 chunks"
    entered = shop.rows("SELECT count(*) FROM enrollment WHERE campaign = 'news'")
    assert entered == [(10,)]
    assert broadcasting.broadcast(means, a_run(shop, "news", fire_at=shop.now + 1)).startswith(
        "started for 10"
    )


def test_nobody_in_the_audience_is_no_chunk(shop: Published, tmp_path: Path) -> None:
    means = means_of(shop, tmp_path)

    assert broadcasting.broadcast_chunks(means, a_run(shop, "news")) == []
    assert JOBS["broadcast"](means, a_run(shop, "news")).said == "started for 0 people in 0 chunks"


def test_a_campaign_that_was_paused_is_not_started_and_the_run_says_so(
    shop: Published, tmp_path: Path
) -> None:
    shop.order("pause", "news")
    means = means_of(shop, tmp_path)
    scheduling = a_scheduling(means)
    scheduling.tick()
    shop.now += DAY - (shop.now - at("2026-03-02T09:00")) % DAY

    scheduling.tick()
    for _ in range(4):
        scheduling.wait()
        scheduling.tick()
    scheduling.close()

    assert results(shop)["news"].startswith("failed: ")
    assert "only a live one can be started" in results(shop)["news"]


# --- reports, retention ---------------------------------------------------------------------------


def test_the_reports_of_all_studies_make_one_page_and_a_document_each(
    shop: Published, tmp_path: Path
) -> None:
    shop.carts(30)
    shop.now += 3 * DAY
    shop.settle()

    outcome = JOBS["experiment-reports"](means_of(shop, tmp_path), a_run(shop, "sweep"))

    page = (tmp_path / DIRECTORY / REPORTS / "experiments.html").read_text()
    assert list(outcome.documents) == ["holdout:cart"]
    assert outcome.said == "1 reports in reports/experiments.html"
    assert "<html" in page
    assert "cart" in page
    assert outcome.documents["holdout:cart"].startswith("## holdout:cart")


def test_retention_deletes_what_is_old_and_nothing_that_is_young(
    shop: Published, tmp_path: Path
) -> None:
    for number, age in enumerate((0, 29, 31, 36)):
        then = shop.now - age * DAY
        shop.process.write(
            lambda it, at=then, n=number: it.execute(
                "INSERT INTO idempotency (scope, name, body_digest, answer, at) "
                "VALUES ('c', ?, '', '', ?)", (str(n), at),
            )
        )  # fmt: skip
        shop.process.write(
            lambda it, at=then: it.execute(
                "INSERT INTO schedule_run (schedule, fire_at, claimed_by, finished_at) "
                "VALUES ('old', ?, 'a', ?)", (at, at),
            )
        )  # fmt: skip

    outcome = JOBS["retention"](means_of(shop, tmp_path), a_run(shop, "sweep"))

    assert outcome.said == "deleted 1 of schedule_run, 2 of idempotency"
    assert shop.rows("SELECT count(*) FROM idempotency") == [(2,)]
    assert JOBS["retention"](means_of(shop, tmp_path), a_run(shop, "sweep")).said == (
        "nothing was old enough"
    )


# --- a run that fails, a run that lasts -----------------------------------------------------------


def test_a_job_that_breaks_is_tried_again(
    shop: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means, calls = means_of(shop, tmp_path), []

    def breaks(_means: Means, run: Run) -> Outcome:
        calls.append(run.tries)
        if len(calls) < 3:
            raise OSError("the disk is full")
        return Outcome("done at last")

    monkeypatch.setattr("engine.scheduling.carrying_out.JOBS", {"retention": breaks})
    scheduling = a_scheduling(means)
    scheduling.tick()
    shop.now += HOUR - shop.now % HOUR
    for _ in range(8):
        scheduling.tick()
        scheduling.wait()
        shop.now += MINUTE
    scheduling.close()

    assert calls == [1, 2, 3]
    assert results(shop)["sweep"] == "done at last"


def test_a_run_that_lasts_is_held_all_the_time(
    shop: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means, renewed = means_of(shop, tmp_path), threading.Event()
    scheduling = a_scheduling(means)
    scheduling.tick()
    shop.now += HOUR - shop.now % HOUR
    with shop.process.database.write() as connection:
        (run,) = [
            it
            for it in rows.claim(connection, owner="a", engine="embedded", now=shop.now, limit=9)
            if it.schedule == "sweep"
        ]
    hold = rows.hold

    def seen(*given: Any, **more: Any) -> bool:
        renewed.set()
        return hold(*given, **more)

    monkeypatch.setattr(rows, "hold", seen)
    monkeypatch.setattr("engine.scheduling.carrying_out.HELD", 3 * SECOND // 50)
    monkeypatch.setattr(
        "engine.scheduling.carrying_out.JOBS",
        {"retention": lambda *_: Outcome("slow" if renewed.wait(10) else "never held")},
    )

    assert carry_out(means, run).said == "slow"


# --- at Prefect -----------------------------------------------------------------------------------


class Recorded:
    """A hand-over whose server answers, or not."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Instant, int]] = []
        self.is_up = True

    def start(self, deployment: str, run: Run) -> None:
        if not self.is_up:
            raise NotHandedOver("Prefect: nobody answers")
        self.started.append((run.schedule, run.fire_at, run.tries))


def test_what_prefect_cannot_be_told_is_told_later_or_is_missed(
    shop: Published, tmp_path: Path
) -> None:
    prefect = Recorded()
    scheduling = a_scheduling(means_of(shop, tmp_path), hand_over=prefect)

    def tick() -> None:
        scheduling.tick()
        scheduling.wait()

    tick()
    shop.now += HOUR - shop.now % HOUR
    due = shop.now
    prefect.is_up = False
    tick()
    shop.now += MINUTE
    prefect.is_up = True

    tick()

    assert ("sweep", due, 1) in prefect.started
    prefect.is_up = False
    shop.now = due + HOUR
    tick()
    shop.now = due + 2 * HOUR + MINUTE
    for _ in range(3):
        tick()
        shop.now += MINUTE
    scheduling.close()
    assert "missed: Prefect: nobody answers" in {
        str(row[0]) for row in shop.rows("SELECT result FROM schedule_run")
    }


def test_a_flow_asks_for_its_run_in_parts(shop: Published, tmp_path: Path) -> None:
    shop.carts(6)
    means = means_of(shop, tmp_path)
    due = shop.now + DAY - shop.now % DAY + 9 * HOUR
    with shop.process.database.write() as connection:
        rows.keep(connection, plans_of(shop.process.playbook.workspace), now=shop.now)
        connection.execute("UPDATE schedule SET next_at = ? WHERE name = 'news'", (due,))
    shop.now = due - SECOND // 2  # Prefect starts flows a little before their time
    run = {"schedule": "news", "fire_at": due, "owner": "flow run 1"}
    early = answer(means, {"do": "begin", **run})
    shop.now = due + SECOND

    begun = answer(means, {"do": "begin", **run})
    other = answer(means, {"do": "begin", **run, "owner": "flow run 2"})
    ((above, up_to),) = answer(means, {"do": "chunks", **run})["chunks"]
    chunk = {"do": "chunk", **run, "above": above, "up_to": up_to}
    counts = [answer(means, chunk)["n"] for _ in range(2)]
    said = answer(means, {"do": "finish", **run, "counts": counts})["said"]

    assert early == {"why": "", "job": "", "wait_seconds": 0.5}
    assert begun == {"why": "", "job": "broadcast", "wait_seconds": 0}
    assert other["why"] == "flow run 1 is at it"
    assert counts == [6, 0]
    assert said == "started for 6 people in 2 chunks"
    assert results(shop)["news"] == said
    with pytest.raises(UsageError, match="not ours any more: it is done already"):
        answer(means, chunk)
    with pytest.raises(UsageError, match='do not know "sing"'):
        answer(means, {"do": "sing"})


def test_what_was_deployed_is_remembered_until_the_schedule_changes(
    shop: Published, tmp_path: Path
) -> None:
    means = means_of(shop, tmp_path)
    plans = answer(means, {"do": "plans"})["plans"]
    answer(means, {"do": "deployed", "name": "shop", "native": {"sweep": plans["sweep"]}})

    with means.database.read() as connection:
        assert deployment_name(connection) == "shop"
    native = "SELECT name FROM schedule WHERE native = definition"
    assert shop.rows(native) == [("sweep",)]
    changed = plans_of(shop.process.playbook.workspace) | {
        "sweep": Plan("retention", Every(2 * HOUR), "UTC", HOUR)
    }
    with means.database.write() as connection:
        rows.keep(connection, changed, now=shop.now)
    assert shop.rows(native) == []
    assert encode(changed["sweep"]) != plans["sweep"]
    assert HELD > 0
