"""Apply: what was shown or nothing, once, in one transaction; and back again."""

from collections.abc import Iterator

import pytest

from campaigns.problems import InvalidWorkspace
from engine.core.errors import UsageError
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.release import checking, releases
from engine.release.publish import Outrun, go_live, prepare
from tests.engine.publishing import CART, FILES, Published, with_cart
from tests.engine.test_migrate import LONGER, MIGRATE, RENAMED

WELCOME = """campaign: welcome
trigger: {segment: {enter: gold, backfill: current}}
topic: offers
journey:
  - delay: 1h
    id: settle
  - send: {channel: email, template: soft}
"""
GOLD = "segment: gold\nwhen: {trait: {plan: gold}}\n"
VIEWED = "segment: viewed\nwhen: {event: Product Viewed, within: 30d}\n"
EXPERIMENT = """  - experiment: words
    variants:
      control: {weight: 1, do: []}
      soft: {weight: 1, do: [{send: {channel: email, template: soft}}]}
    metrics: {primary: ordered}
"""
UNCHECKED = """test: somebody expects what no template says
given: {profile: {id: u1}}
expect: [{at: 2026-03-02T09:00Z, send: {channel: email, template: hard}}]
"""
METRIC = "metric: ordered\nevent: Order Completed\nwithin: 7d\n"


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    yield opened
    opened.close()


def the_releases(house: Published) -> list[tuple[int, str]]:
    with house.process.database.read() as connection:
        return [(it.number, it.kind) for it in releases.history(connection, limit=9)]


# --- apply ----------------------------------------------------------------------------------------


def test_what_is_live_already_changes_nothing(house: Published) -> None:
    house.carts(1)

    done = house.apply(FILES)

    assert (done["release"], done["plan"], done["woken"]) == (1, "", 0)
    assert the_releases(house) == [(1, "apply")]


def test_a_plan_that_was_shown_is_applied_as_shown(house: Published) -> None:
    shown = house.plan(with_cart(LONGER)).id

    assert house.apply(with_cart(LONGER), shown=shown)["release"] == 2


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (LONGER, "release 2 is live, and the plan was made upon release 1"),
        (("delay: 30m", "delay: 4h"), "are not those of that plan"),
    ],
)
def test_a_plan_is_refused_once_another_release_is_live(
    house: Published, edit: tuple[str, str], words: str
) -> None:
    shown = house.plan(with_cart(LONGER)).id
    house.apply(with_cart(("topic: offers", "topic: offers\npriority: 60")))

    with pytest.raises(UsageError, match=words):
        house.apply(with_cart(edit), shown=shown)

    assert [it[0] for it in the_releases(house)] == [2, 1]


def test_a_plan_is_refused_for_other_files(house: Published) -> None:
    shown = house.plan(with_cart(LONGER)).id

    with pytest.raises(UsageError, match="the files have changed since the plan was made"):
        house.apply(with_cart(("delay: 30m", "delay: 4h")), shown=shown)


def test_what_was_prepared_upon_another_release_does_not_go_live(house: Published) -> None:
    from campaigns.load import load_bundle

    workspace = load_bundle({k: v.encode() for k, v in with_cart(LONGER).items()}, environ={})
    with house.process.database.read() as connection:
        ready = prepare(connection, workspace, now=house.now)
    house.order("pause")

    with pytest.raises(Outrun):
        house.process.write(lambda connection: go_live(connection, ready, now=house.now))

    assert [it[1] for it in the_releases(house)] == ["operation", "apply"]


# --- back -----------------------------------------------------------------------------------------


def test_a_rollback_plays_the_files_of_before_as_a_new_release(house: Published) -> None:
    first = house.version
    house.apply(with_cart(LONGER))
    house.carts(1)
    second = house.version

    done = house.roll_back()
    house.carts(1, first=2)

    assert (done["release"], done["to"]) == (3, 1)
    assert "~ campaign" in done["plan"]
    assert the_releases(house) == [(3, "rollback"), (2, "apply"), (1, "apply")]
    assert sorted(house.standing()) == sorted([(first, "settle", 1), (second, "settle", 1)])


def test_what_a_provider_cannot_do_is_refused_at_apply_and_not_on_the_way_back(
    house: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FILES["antiphon.yaml"]
    assert "email: {" in settings
    unknown = {**FILES, "antiphon.yaml": settings.replace("email: {", "email: {seeed: 7, ", 1)}

    with pytest.raises(InvalidWorkspace, match='has no setting "seeed"'):
        house.apply(unknown)

    # It went live under a program that had not learnt to ask.
    with monkeypatch.context() as before:
        before.setattr(checking, "check_providers", lambda *_: None)
        house.apply(unknown)
    house.apply(with_cart(LONGER))
    assert house.roll_back()["to"] == 2


def test_a_rollback_moves_and_strands_nobody(house: Published) -> None:
    """The step of the newer version is gone, and the older file has a `migrate:` of its own."""
    house.apply(with_cart(MIGRATE))
    house.apply(with_cart(RENAMED))
    house.carts(2)
    newer = house.version

    house.roll_back()
    house.settle()

    assert house.standing() == [(newer, "calm", 2)]
    house.settle(until=house.now + 9 * HOUR)
    assert house.messages("soft") == [("queued", "")] * 2


def test_a_rollback_twice_goes_forth_again(house: Published) -> None:
    first = house.version
    house.apply(with_cart(LONGER))
    second = house.version

    house.roll_back()
    back = house.version
    house.roll_back()

    assert (back, house.version) == (first, second)
    assert house.rows("SELECT number FROM release WHERE length(bundle) > 0 ORDER BY number") == [
        (1,), (2,),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("to", "words"),
    [(None, "nothing is before them"), (7, "there is no release 7; there are 1 to 1")],
)
def test_a_release_that_never_was_cannot_come_back(
    house: Published, to: int | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        house.roll_back(to)


def test_what_is_live_loads_although_a_newer_program_would_refuse_it(house: Published) -> None:
    """A check that came with an upgrade must not stop what runs; the next apply hears of it."""
    wrong = {**FILES, "tests/one.yaml": UNCHECKED}
    with pytest.raises(InvalidWorkspace, match="there is no template"):
        house.apply(wrong)
    bundle = {name: it.encode() for name, it in wrong.items()}

    house.process.write(
        lambda connection: releases.record(
            connection, digest="a", files=bundle, kind="apply", summary=[], now=house.now
        )
    )
    house.reload()

    assert house.process.playbook.program.release == 2


# --- what a plan says -----------------------------------------------------------------------------


def test_a_plan_counts_people_by_step_and_says_what_becomes_of_them(house: Published) -> None:
    house.carts(3)
    house.settle(until=house.now + 30 * MINUTE)
    house.carts(2, first=4)
    old = house.version

    finishing = house.words(with_cart(LONGER))
    moving = house.plan(with_cart(LONGER, ("timeout: 2h", "timeout: 1m"), MIGRATE))

    assert finishing.splitlines()[1:] == [
        "    journey.settle.delay: 30m -> 3h",
        f"    whoever is inside finishes on version {old}",
        "    5 people inside: 5 finish on the version they are on",
        f"      settle: 2 on version {old}, changed",
        "Plan: 0 to add, 1 to change, 0 to remove.",
    ]
    due = {(it.people.step, it.fate, it.to): it.due for it in moving.inside}
    assert [(key, it.n_people) for key, it in sorted(due.items()) if it] == [
        (("settle", "move", "settle"), 0),
        (("waiting", "move", "waiting"), 0),
    ]
    house.now += MINUTE
    later = house.plan(with_cart(LONGER, ("timeout: 2h", "timeout: 1m"), MIGRATE))
    assert {it.people.step: it.due.n_people for it in later.inside if it.due} == {
        "settle": 0, "waiting": 3,
    }  # fmt: skip


def test_a_plan_counts_who_would_enter_now(house: Published) -> None:
    for number, plan in enumerate(("gold", "gold", "free"), start=1):
        house.identify(f"u{number}", plan=plan)
    house.settle()
    files = with_cart(campaigns__welcome=WELCOME, segments__gold=GOLD)

    new = house.words(files)
    house.apply(with_cart(segments__gold=GOLD))
    house.settle()
    known = house.words(files)
    house.apply(files)
    house.settle()

    assert '    2 people inside "gold" would enter now' in new.splitlines(), "by history"
    assert '    2 people inside "gold" would enter now' in known.splitlines(), "by membership"
    assert house.rows("SELECT count(*) FROM enrollment WHERE campaign = 'welcome'") == [(2,)]


def test_a_plan_says_which_segments_are_built_from_history(house: Published) -> None:
    house.carts(2)

    words = house.words(with_cart(segments__viewed=VIEWED, segments__gold=GOLD))

    assert '+ segment "gold"\n+ segment "viewed"\n' in words
    assert "    its features are built from the history of 2 profiles" in words.splitlines()


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (("soft: {weight: 1", "soft: {weight: 3"), 'the weight of "soft" changes from 1 to 3'),
        (("primary: ordered}", "primary: ordered}\n    coverage: 50%"), "coverage shrinks"),
        (("do: [{send: {channel: email", "do: [{send: {channel: sms"), 'the steps of "soft"'),
        (None, "the template email/soft changed"),
    ],
    ids=["weights", "coverage", "arm", "template"],
)
def test_rule_2_a_plan_says_aloud_that_an_experiment_starts_a_new_phase_and_who_saw_the_old(
    house: Published, edit: tuple[str, str] | None, why: str
) -> None:
    text = CART.split("  - wait_for")[0] + EXPERIMENT
    files = {**FILES, "campaigns/cart.yaml": text, "metrics/ordered.yaml": METRIC}
    files["templates/sms/soft.txt"] = "It waits.\n"
    house.apply(files)
    house.carts(2)
    house.settle(until=house.now + HOUR)
    newer = dict(files)
    if edit is None:
        newer["templates/email/soft.txt"] += "Really.\n"
    else:
        assert edit[0] in text
        newer["campaigns/cart.yaml"] = text.replace(*edit)

    words = house.words(newer)

    assert f"    {why}" in words
    assert "    a new phase opens: only profiles never exposed will see it" in words
    assert "    2 people saw the phase that ends; they keep their variant" in words


def test_a_thousand_people_are_moved_in_batches_none_of_them_twice(house: Published) -> None:
    house.carts(60)
    house.now += HOUR - 31 * MINUTE

    house.apply(with_cart(("delay: 30m", "delay: 5m"), MIGRATE))
    sizes = []
    while not (done := house.tick(limit=25)).is_idle:
        sizes.append(done.n_timers)
    house.settle(until=house.now + DAY)

    assert max(sizes) <= 25
    assert sum(sizes) >= 60
    assert house.messages("soft") == [("queued", "")] * 60
