"""Whatever people say of profiling, and when: nobody who refuses has a score that can be read."""

import os
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.errors import UsageError
from engine.learning.registry import Registry
from engine.store import migrate, scores
from engine.store.database import Database
from tests.engine.publishing import Published
from tests.learning.refusing import N_PEOPLE, SHOP, STRICT, a_shop, asked, inside, published

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, N_PEOPLE), st.sampled_from([True, False, None])),
        st.tuples(st.just("publish"), st.sampled_from(["churn", "kinds"]), st.booleans()),
        st.tuples(st.just("merge"), st.integers(1, N_PEOPLE), st.sampled_from([True, False, None])),
        st.tuples(st.just("rule"), st.just(0), st.booleans()),
        st.tuples(st.just("tick"), st.just(0), st.none()),
        st.tuples(st.just("back"), st.just(0), st.none()),
    ),
    max_size=12,
)
SCALE = float(os.environ.get("ANTIPHON_TEST_SCALE", "1"))


@settings(
    max_examples=max(5, int(12 * SCALE)), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(acts=ACTS)
def test_whatever_happens_nobody_who_refuses_has_a_score_that_can_be_read(
    acts: list[Any], tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("any") / "shop.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.close()
    stage = a_shop(f"sqlite:///{path}")
    try:
        for number, act in enumerate(acts):
            _carry_out(stage, number, act)
            if act[0] == "tick":
                _check(stage)
        stage.settle()
        _check(stage)
    finally:
        stage.close()


def _carry_out(stage: Published, number: int, act: Any) -> None:
    kind, about, how = act
    stage.now += 1_000_000
    match kind:
        case "say":
            stage.identify(f"u{about}", profiling=how)
        case "publish":
            with suppress(UsageError):  # all of them refuse
                published(stage, about, (0.9 if how else 0.2, "loyal"))
        case "merge":
            device = f"d{number}"
            stage.send({"type": "identify", "anonymousId": device, "traits": {"profiling": how}})
            stage.send({
                "type": "track", "userId": f"u{about}", "anonymousId": device, "event": "Logged In"
            })  # fmt: skip
        case "rule":
            stage.apply(STRICT if how else SHOP)
        case "back":
            registry = Registry(
                stage.process.database, stage.process.write, stage.process.playbook.program
            )
            with suppress(UsageError):  # there is none, or nobody is left in it
                registry.roll_back("churn", None, now=stage.now)
        case _:
            stage.settle()


def _check(stage: Published) -> None:
    rule = stage.process.playbook.program.profiling
    with stage.process.database.read() as connection:
        rows = connection.execute("SELECT id FROM profile WHERE merged_into IS NULL")
        people = [int(row[0]) for row in rows]
        refusing = scores.nobodys(connection, people, rule)
        said = scores.of_people(connection, people)
    assert not refusing & said.keys()
    for segment in ("risky", "loyal"):
        members = inside(stage, segment)
        assert not members & refusing
        assert asked(stage, segment) == {f"u{number}" for number in members}
