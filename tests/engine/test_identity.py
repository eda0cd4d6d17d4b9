"""Rule 7 on both databases: who is who, and that it never depends on how calls are grouped."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.store import migrate
from engine.store.database import Database
from tests.engine.ingesting import NOW, Intake, a_track, some_terms


def seen(i: int, *, user: str | None = None, device: str | None = None) -> dict[str, object]:
    return a_track(messageId=f"m-{i}", userId=user, anonymousId=device)


def alias(i: int, previous: str, user: str) -> dict[str, object]:
    return {"type": "alias", "messageId": f"m-{i}", "userId": user, "previousId": previous}


def test_an_anonymous_visitor_becomes_the_first_user_who_claims_the_device(
    database: Database,
) -> None:
    intake = Intake(database)

    intake.take(seen(1, device="phone"))
    intake.take(seen(2, user="ann", device="phone"))
    intake.take(seen(3, user="ann"), seen(4, device="phone"))

    assert [profile for profile, _ in intake.events()] == [1, 1, 1, 1]
    assert intake.rows("SELECT external_id FROM profile") == [("ann",)]


def test_a_later_user_on_that_device_is_a_person_of_their_own(database: Database) -> None:
    intake = Intake(database)
    intake.take(seen(1, user="ann", device="tablet"))

    intake.take(seen(2, user="bob", device="tablet"), seen(3, device="tablet"))

    assert [profile for profile, _ in intake.events()] == [1, 2, 1]
    assert intake.profile_of("anonymous", "tablet") == 1


def test_a_known_user_on_an_unclaimed_device_merges_into_the_older_profile(
    database: Database,
) -> None:
    intake = Intake(database)
    intake.take(seen(1, device="phone"), now=NOW)
    intake.take(seen(2, user="ann"), now=NOW + 1)

    intake.take(seen(3, user="ann", device="phone"), seen(4, user="ann"), now=NOW + 2)

    assert intake.events() == [
        (1, "Product Viewed"),
        (2, "Product Viewed"),
        (1, "Profile Merged"),
        (1, "Product Viewed"),
        (1, "Product Viewed"),
    ]
    merge = intake.rows("SELECT flags, properties FROM event WHERE name = 'Profile Merged'")
    assert [(flags, json.loads(text)) for flags, text in merge] == [(4, {"loser": 2})]
    assert intake.profile_of("user", "ann") == intake.profile_of("anonymous", "phone") == 1
    assert intake.rows("SELECT id, external_id FROM profile ORDER BY id") == [
        (1, "ann"),
        (2, "ann"),
    ]


def test_merges_within_one_batch_lead_all_later_events_to_the_winner(database: Database) -> None:
    intake = Intake(database)

    intake.take(
        seen(1, device="phone"),
        seen(2, user="ann"),
        seen(3, user="ann", device="phone"),
        seen(4, device="phone"),
        seen(5, user="ann"),
    )
    intake.take(seen(6, user="ann"), seen(7, device="phone"))

    assert [profile for profile, _ in intake.events()] == [1, 2, 1, 1, 1, 1, 1, 1]


def test_two_known_users_merge_by_alias_with_a_server_key(database: Database) -> None:
    intake = Intake(database)
    intake.take(seen(1, user="old"), seen(2, user="new"))

    (answer,) = intake.take(alias(3, "old", "new"))
    intake.take(seen(4, user="old"), seen(5, user="new"))

    assert (answer.status, answer.ignored) == ("accepted", [])
    assert [profile for profile, _ in intake.events()] == [1, 2, 1, 1, 1, 1]


def test_two_known_users_never_merge_by_a_browser(database: Database) -> None:
    intake = Intake(database)
    intake.take(seen(1, user="old"), seen(2, user="new"))

    (answer,) = intake.take(alias(3, "old", "new"), terms=some_terms(key="browser"))

    assert (answer.status, answer.ignored) == ("accepted", ["previousId"])
    assert intake.profile_of("user", "old") == 1
    assert intake.profile_of("user", "new") == 2


def test_alias_of_an_unknown_id_links_it(database: Database) -> None:
    intake = Intake(database)

    intake.take(alias(1, "visitor", "ann"))
    intake.take(seen(2, device="visitor"))

    assert {profile for profile, _ in intake.events()} == {1}


def test_another_process_merging_is_noticed(database: Database) -> None:
    first, second = Intake(database), Intake(database)
    first.take(seen(1, device="phone"), seen(2, user="ann"))

    second.take(seen(3, user="ann", device="phone"))
    first.take(seen(4, user="ann"))

    assert first.events()[-1] == (1, "Product Viewed")


USERS = st.sampled_from([None, "u1", "u2", "u3"])
DEVICES = st.sampled_from([None, "d1", "d2", "d3"])
CALLS = st.lists(
    st.tuples(USERS, DEVICES).filter(lambda it: it != (None, None))
    | st.tuples(
        st.just("alias"), st.sampled_from(["u1", "d1", "d2"]), st.sampled_from(["u2", "u3"])
    ),
    max_size=12,
)


@pytest.mark.parametrize("size", [1, 3])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=CALLS)
def test_grouping_changes_nothing_about_who_is_who(
    calls: list[tuple[str | None, ...]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    items = [
        alias(i, str(call[1]), str(call[2]))
        if call[0] == "alias"
        else seen(i, user=call[0], device=call[1])
        for i, call in enumerate(calls)
    ]

    outcomes = []
    for step in (size, max(1, len(items))):
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('identity') / 'a.db'}")
        migrate.upgrade(database)
        intake = Intake(database)
        for start in range(0, len(items), step):
            intake.take(*items[start : start + step])
        links = intake.rows("SELECT kind, value, profile_id FROM identity ORDER BY kind, value")
        merges = intake.rows("SELECT properties FROM event WHERE name = 'Profile Merged'")
        losers = {json.loads(text)["loser"] for (text,) in merges}
        outcomes.append((intake.events(), links))
        database.close()

    assert outcomes[0] == outcomes[1]
    assert {profile for _, _, profile in outcomes[0][1]}.isdisjoint(losers)
