"""What reached people, by domain, campaign and day; and the pause when too much came back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from campaigns.sending_forms import LimitsForm
from channels.base import Ambiguous, RefusedBy
from channels.delivery import DeliveryEvent
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.readout.deliverability import Figures, deliverability, n_sent
from engine.release.operating import Order, carry_out, standings
from engine.release.roll_call import campaigns
from engine.release.safeguard import Safeguard
from engine.store import bulk
from engine.store.connection import Connection
from engine.store.outcomes import MESSAGE_COLUMNS
from tests.engine.publishing import CART, FILES, Published
from tests.rig.stage import NOON

LIMITS = LimitsForm.model_construct(complaints=0.01, hard_bounces=0.02, of=100)


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply(
        {**FILES, "campaigns/other.yaml": CART.replace("campaign: cart", "campaign: other")}
    )
    for number in range(1, 4):
        opened.identify(
            f"u{number}", email=f"u{number}@{'gmail.com' if number < 3 else 'me.example'}"
        )
    opened.settle()
    yield opened
    opened.close()


class Sent:
    """Messages that went out, each to one of the three people in turn."""

    def __init__(self, house: Published) -> None:
        self._house = house
        self._last = 1_000_000

    def __call__(self, n: int, *, campaign: str = "cart") -> list[int]:
        first, self._last = self._last + 1, self._last + n
        ids, house = list(range(first, first + n)), self._house
        people = [row[0] for row in house.rows("SELECT id FROM profile ORDER BY id")]

        def row(id: int) -> tuple[Any, ...]:
            given = dict.fromkeys(MESSAGE_COLUMNS, "") | {
                "id": id, "profile_id": people[id % 3], "enrollment_id": id, "campaign": campaign,
                "step": "remind", "visit": 1, "channel": "email", "account": "email",
                "topic": "offers", "template": "soft", "status": "queued", "at": house.now,
                "due_at": house.now, "expires_at": 2**61, "context": "{}", "lane": 1,
            }  # fmt: skip
            return tuple(given[name] for name in MESSAGE_COLUMNS)

        def queued(connection: Connection) -> None:
            # Three people stand for many: of those who complained nobody is written to again.
            connection.execute("UPDATE contact SET suppressed = NULL")
            bulk.insert(connection, "message", MESSAGE_COLUMNS, [row(id) for id in ids])

        house.process.write(queued)
        while not house.drain().is_idle:
            pass
        return ids


@pytest.fixture
def sent(house: Published) -> Sent:
    return Sent(house)


def told(house: Published, kind: str, messages: list[int], **more: Any) -> None:
    house.report(
        *(
            DeliveryEvent(kind, id, f"{kind} {id}", house.now, **more)  # type: ignore[arg-type]
            for id in messages
        )
    )


def figures(house: Published, *by: str, **only: Any) -> dict[tuple[str, ...], Figures]:
    with house.process.database.read() as connection:
        cells = deliverability(connection, by=by, since=NOON - DAY, until=NOON + 30 * DAY, **only)
    return {tuple(each.by.values()): each.figures for each in cells}


def passed(house: Published, guard: Safeguard | None = None) -> dict[str, str]:
    with house.process.database.read() as connection:
        return (guard or Safeguard()).passed(connection, limits=LIMITS, now=house.now)


def paused(house: Published, guard: Safeguard) -> list[str]:
    """What the engine does twice a minute."""
    settings = house.process.playbook.workspace.settings.model_copy(update={"limits": LIMITS})
    workspace = replace(house.process.playbook.workspace, settings=settings)
    found = guard.keep(house.process.database, workspace, write=house.process.write, now=house.now)
    house.reload()
    return found


def test_every_figure_is_counted_once_however_often_it_is_reported(
    house: Published, sent: Sent
) -> None:
    ids = sent(12)
    for _ in range(2):
        told(house, "delivered", ids[:8])
        told(house, "opened", ids[:5])
        told(house, "opened", ids[5:7], is_machine=True)
        told(house, "clicked", ids[:2])
        told(house, "complained", ids[:1])
        told(house, "bounced", ids[8:10], bounce_class="hard")
        told(house, "bounced", ids[10:11], bounce_class="soft")
        told(house, "bounced", ids[11:], bounce_class="block")

    assert figures(house) == {(): Figures(12, 8, 2, 1, 1, 1, 5, 2)}


def test_a_refusal_at_once_is_a_bounce_like_one_that_is_reported_later(
    house: Published, sent: Sent
) -> None:
    house.email.script = [
        RefusedBy("recipient", "5.1.1", "no such user", "hard"),
        RefusedBy("recipient", "5.7.1", "policy", "block"),
        RefusedBy("message", "5.3.4", "too large", "message"),
    ]
    sent(4)

    assert figures(house) == {(): Figures(sent=4, hard_bounces=1, blocked=2)}


def test_they_are_split_by_domain_campaign_provider_and_day(house: Published, sent: Sent) -> None:
    sent(6)
    house.now += DAY
    told(house, "delivered", sent(3, campaign="other"))

    by_domain, by_day = figures(house, "domain"), figures(house, "day", "campaign")

    assert {key: it.sent for key, it in by_domain.items()} == {("gmail.com",): 6, ("other",): 3}
    assert list(by_day) == [("2026-03-02", "cart"), ("2026-03-03", "other")]
    assert by_day["2026-03-03", "other"] == Figures(sent=3, delivered=3)
    assert list(figures(house, "channel", "provider")) == [("email", "scripted-email")]
    assert figures(house, campaign="other") == {(): Figures(sent=3, delivered=3)}


def test_what_nobody_answered_is_not_counted_as_sent(house: Published, sent: Sent) -> None:
    house.email.script = [Ambiguous("reply lost")]
    ids = sent(2)

    assert figures(house) == {(): Figures(sent=1)}
    with house.process.database.read() as connection:
        assert n_sent(connection, "cart", since=NOON) == 1
    told(house, "delivered", ids)
    assert figures(house) == {(): Figures(sent=2, delivered=2)}


@pytest.mark.parametrize(
    ("kind", "n", "why"),
    [
        ("complained", 1, ""),
        ("complained", 2, "2 complaints of 110 messages: 1.82%, the limit is 1.00%"),
        ("bounced", 2, ""),
        ("bounced", 3, "3 hard bounces of 110 messages: 2.73%, the limit is 2.00%"),
    ],
)
def test_a_campaign_is_past_a_limit_only_above_its_share(
    house: Published, sent: Sent, kind: str, n: int, why: str
) -> None:
    ids = sent(110)
    told(house, kind, ids[:n], **({"bounce_class": "hard"} if kind == "bounced" else {}))

    assert passed(house) == ({"cart": why} if why else {})


def test_of_too_few_messages_nothing_is_concluded_until_there_are_enough(
    house: Published, sent: Sent
) -> None:
    guard = Safeguard()
    told(house, "complained", sent(90)[:30])
    too_few = passed(house, guard)

    sent(10, campaign="other")
    still_too_few = passed(house, guard)
    sent(10)

    assert (too_few, still_too_few) == ({}, {})
    assert list(passed(house, guard)) == ["cart"]


def test_what_was_judged_is_judged_again_when_something_came_back(
    house: Published, sent: Sent
) -> None:
    guard = Safeguard()
    ids = sent(110)
    told(house, "bounced", ids[:2], bounce_class="hard")
    before = passed(house, guard)

    told(house, "bounced", ids[2:4], bounce_class="hard")

    assert before == {}
    assert list(passed(house, guard)) == ["cart"]


def test_a_campaign_past_a_limit_is_paused_with_its_reason_and_the_others_are_not(
    house: Published, sent: Sent
) -> None:
    sent(110, campaign="other")
    told(house, "complained", sent(110)[:5])
    house.carts(1)

    names = paused(house, Safeguard())
    house.settle(until=house.now + 4 * HOUR)
    words = house.words(FILES)

    why = "5 complaints of 110 messages: 4.55%, the limit is 1.00%"
    assert names == ["cart"]
    assert f'! campaign "cart" is paused automatically since 2026-03-02T12:00:00Z: {why}' in words
    assert [row[1] for row in house.standing() if row[0] == house.version] == ["settle"]
    with house.process.database.read() as connection:
        shown = {it.name: (it.state, it.by, it.why) for it in campaigns(connection)}
    assert shown["cart"] == ("paused", "automatic", why)
    assert shown["other"][0] == "live"


def test_what_a_paused_campaign_has_queued_waits_and_goes_on_when_it_is_resumed(
    house: Published, sent: Sent
) -> None:
    guard = Safeguard()
    told(house, "complained", sent(110)[:5])
    paused(house, guard)
    n_calls = len(house.email.calls)

    (held,) = sent(1)
    (passing,) = sent(1, campaign="other")
    while_paused = house.rows("SELECT status, reason FROM message WHERE id = ?", held)
    house.order("resume")
    house.now += 15 * MINUTE
    sent(0)

    assert while_paused == [
        ("queued", "its campaign is paused: too many complaints or hard bounces")
    ]
    statuses = house.rows("SELECT status FROM message WHERE id IN (?, ?)", held, passing)
    assert statuses == [("sent",), ("sent",)]
    assert len(house.email.calls) == n_calls + 2


def test_after_it_was_resumed_only_what_went_out_since_counts(house: Published, sent: Sent) -> None:
    guard = Safeguard()
    told(house, "complained", sent(110)[:5])
    paused(house, guard)
    house.now += HOUR
    house.order("resume")
    at_once = passed(house, guard)

    again = sent(110)
    fine = passed(house, guard)
    told(house, "complained", again[:2])

    assert (at_once, fine) == ({}, {})
    assert list(passed(house, guard)) == ["cart"]


def test_what_is_older_than_a_week_does_not_count(house: Published, sent: Sent) -> None:
    told(house, "complained", sent(110)[:5])
    house.now += 8 * DAY

    assert passed(house) == {}


def test_an_operators_pause_stays_an_operators(house: Published, sent: Sent) -> None:
    told(house, "complained", sent(110)[:5])
    house.order("pause", why="wrong price")

    assert paused(house, Safeguard()) == []
    with house.process.database.read() as connection:
        standing = standings(connection)["cart"]
    assert (standing.by, standing.why) == ("operator", "wrong price")
    assert house.process.playbook.stopped == frozenset()


def test_two_who_watch_pause_once(house: Published, sent: Sent) -> None:
    told(house, "complained", sent(110)[:5])
    workspace = house.process.playbook.workspace
    order = Order("pause", "cart", why="5 complaints", by="automatic")

    done = [
        house.process.write(
            lambda it: carry_out(it, order, workspace=workspace, now=house.now)
        ).release
        for _ in range(2)
    ]

    assert done[0] > 0
    assert done[1] == 0
