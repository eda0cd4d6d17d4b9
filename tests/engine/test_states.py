"""How states are written: whatever is remembered comes back the same, long ones in a third."""

import random
from base64 import b85decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.conditions import limits
from engine.core.errors import StoreError
from engine.core.model.conditions import All, Condition, EventMatch, LatestCondition
from engine.core.model.instants import DAY, HOUR, NEVER, SECOND, Instant
from engine.core.model.people import Event, Exposed, LedgerEntry, Membership, State
from engine.core.segments import compile_segments
from engine.store import bulk, migrate, people, states
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.states import SAMPLES, Packer
from tests.core.definitions import GAP, about_events, deliveries, session_conditions
from tests.rig.stage import Stage

NOON: Instant = 1_790_000_000 * SECOND
NAMES = [f"segment-number-{number}" for number in range(12)]

BY_0_2 = b85decode(
    "oP?-Ga7}qQMo(Ii&j1BQob<5XfT(CzRYyuybZn8&00l*y^swH5sA_alWmq_QLy^w_1x1|nu-"
    "<^EYE&><L{MotlFb!0&j1BUq%TAC0E?|+X>xREWMO$Nb8l~MlfutH000000002b00l{;FGKVIuVZ0ybS-RUW^^rKEo"
    "5PNlfutH000000002b00l{;FGKVIuw`~-"
    "ZfS03En;$ScXMTObCbf)KmY&$00000&j1BUq%TAC0J3OlXJ{>HZggdCbS-"
    "UfVrgt;lfutH000000002b00l{;FGKVIu4rjzXl!{cWo~C-XJurQ!p}ee00000007Sb1xchYL-"
    "YWyY+-P7Wn?WhH7#Ued2^G)&p-eG000000M7sgNu)1B^Z=}Ha%5$4Wn?XHZewMW!_Pnf00000007Sb1xchYL-"
    "YW#a%Ev-XklV(Wi4WPEpT;nXp_RvKmY&$00000&j1BUq%TAC0IzaoaAje1Ep};hX>@OLbCbf)KmY&$00000&j1BUq%"
    "TAC0IYOxa4mCiWo~3;a&wcy&p-"
    "eG000000M7sgNu)1B^Z>1PX=Qh1WG!rAbY*OLlfutH000000002b00l{;FGKVIfRKQI&p-eG0000000Dr2kbn"
)
"""The state of a customer of the demo who ordered once, as version 0.2.0 wrote it."""


def a_state(seed: int, **changes: Any) -> State:
    """What a busy shop remembers of a customer: some 900 bytes of msgpack."""
    rng = random.Random(seed)
    times = sorted(NOON - rng.randrange(90 * 86_400) * SECOND for _ in range(30))
    made = State(
        features={"orders00": times, "lastseen": [rng.randrange(10**6), times[-1]]},
        memberships={name: Membership(rng.random() < 0.1, NEVER, NOON - DAY) for name in NAMES},
        exposures={"holdout:win-back": Exposed("treated", 1, times[3])},
        ledger=[LedgerEntry(times[4], "email", "offers", None, rng.randrange(10**5), 30)],
        entries={"win-back\n": (times[2], times[3])},
        armed_at=NOON + HOUR,
        release=1,
    )
    return msgspec.structs.replace(made, **changes)


def settled(database: Database, packer: Packer) -> None:
    with database.write() as connection:
        packer.settle(connection, now=NOON)


def learned(database: Database, *, first: int = 0) -> Packer:
    """A packer that has trained a dictionary, stored it and uses it."""
    packer = Packer()
    for seed in range(first, first + SAMPLES):
        packer.pack(a_state(seed))
    settled(database, packer)
    settled(database, packer)
    return packer


class Undone(Exception):
    """What makes a transaction fail after all."""


def store_and_fail(packer: Packer, connection: Connection) -> None:
    packer.settle(connection, now=NOON)
    raise Undone


def read(connection: Connection, blob: bytes) -> State:
    return states.decode(states.plain(blob, connection))


def n_dictionaries(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM state_dictionary")[0][0])


def is_compressed(blob: bytes) -> bool:
    return blob[0] == 0xC1


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Packer, Connection]]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('states') / 'antiphon.db'}")
    migrate.upgrade(database)
    packer = learned(database)
    with database.read() as connection:
        yield packer, connection
    database.close()


scalars = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text()
instants = st.integers(-NEVER, NEVER)
states_of_people = st.builds(
    State,
    memberships=st.dictionaries(
        st.text(), st.builds(Membership, st.booleans(), instants, instants)
    ),
    exposures=st.dictionaries(
        st.text(), st.builds(Exposed, st.text(), st.integers(0, 99), instants)
    ),
    entries=st.dictionaries(st.text(), st.tuples(instants, instants)),
    heard=st.dictionaries(st.integers(0, 2**60), st.lists(st.text())),
    told=st.dictionaries(st.text(), scalars.filter(lambda it: it == it)),
    armed_at=instants,
)
# Besides the kinds that are drawn: what a device said last, and a wait's last event.
DEVICE = LatestCondition("device", ())
WAIT = EventMatch("A")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(about_events | session_conditions, min_size=1, max_size=5),
    deliveries(),
    states_of_people,
    st.booleans(),
)
def test_every_state_comes_back_as_it_was(
    trained: tuple[Packer, Connection],
    conditions: list[Condition],
    events: list[Event],
    state: State,
    is_long: bool,
) -> None:
    packer, connection = trained
    segments = compile_segments(
        {"all": All((*conditions, DEVICE))}, matches=[WAIT], session_gap=GAP
    )
    for event in events:
        segments.observe(state.features, event)
    if is_long:
        state.features["filler00"] = [NOON + n * DAY for n in range(100)]

    stored = packer.pack(state)

    assert is_compressed(stored) or not is_long
    back = read(connection, stored)
    assert back == state
    assert msgspec.msgpack.encode(back) == msgspec.msgpack.encode(state)  # 1, 1.0 and true differ


def test_long_states_take_less_than_half_and_short_ones_stay_as_they_are(
    trained: tuple[Packer, Connection],
) -> None:
    packer, _ = trained
    long, short = a_state(5_000), a_state(5_000, memberships={})

    packed = packer.pack(long)

    assert is_compressed(packed)
    assert len(packed) < 0.5 * len(msgspec.msgpack.encode(long))
    assert packer.pack(short) == msgspec.msgpack.encode(short)


def test_a_state_that_version_0_2_wrote_is_read_and_written_anew(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()
    database = stage.process.database
    grown = msgspec.structs.replace(
        states.decode(BY_0_2), features={"orders00": [NOON + n * HOUR for n in range(99)]}
    )
    packer = learned(database)
    with database.write() as connection:
        bulk.insert(
            connection,
            "profile_state",
            ("profile_id", "state"),
            [(1, BY_0_2)],
            on_conflict="replace",
        )

    with database.write() as connection:
        (loaded,) = people.load(connection, [1]).values()
        as_read = loaded.person.state
        loaded.person.state = grown
        changes = people.Changes(packer=packer)
        changes.take(loaded)
        people.save(connection, changes, now=stage.now)

    # As `msgpack` and the nouns of 0.2.0 say it.
    assert as_read.features["FpMy8FOZ"] == [1_483_915_306 * SECOND]
    assert as_read.memberships["ordered-once"] == Membership(True, NEVER, 1_488_344_400 * SECOND)
    assert (len(as_read.memberships), as_read.armed_at, as_read.release) == (11, NEVER, 1)
    ((stored,),) = stage.rows("SELECT state FROM profile_state WHERE profile_id = 1")
    assert is_compressed(bytes(stored))
    with database.read() as connection:
        assert people.load(connection, [1])[1].person.state == grown


def test_what_a_compressed_state_could_not_remember_is_counted_once(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()
    database = stage.process.database
    packer = learned(database)
    counted: list[int] = []

    for _ in range(2):
        with database.write() as connection:
            (loaded,) = people.load(connection, [1]).values()
            if not counted:
                loaded.person.state = a_state(1)
                limits.note(loaded.person.state.features, "orders00", NEVER)
            changes = people.Changes(packer=packer)
            changes.take(loaded)
            people.save(connection, changes, now=stage.now)
        assert is_compressed(changes.states[0][1])
        counted.append(changes.n_approximate)

    assert counted == [1, 0]


def test_nothing_is_compressed_with_a_dictionary_that_may_yet_be_undone(
    database: Database,
) -> None:
    packer = Packer()
    for seed in range(SAMPLES):
        packer.pack(a_state(seed))

    with pytest.raises(Undone), database.write() as connection:
        store_and_fail(packer, connection)
    after_the_rollback = packer.pack(a_state(1))
    settled(database, packer)
    in_the_batch_that_stored_it = packer.pack(a_state(1))
    settled(database, packer)
    in_the_next = packer.pack(a_state(1))

    assert not is_compressed(after_the_rollback)
    assert not is_compressed(in_the_batch_that_stored_it)
    assert is_compressed(in_the_next)
    assert n_dictionaries(database) == 1


def test_after_a_restart_the_stored_dictionary_is_taken_up(database: Database) -> None:
    stored = learned(database).pack(a_state(1))
    states._opened.by_mark.clear()  # as a new process finds it

    later = Packer()
    first = later.pack(a_state(1))
    settled(database, later)

    assert not is_compressed(first)
    assert later.pack(a_state(1)) == stored
    with database.read() as connection:
        assert read(connection, stored) == a_state(1)
    assert n_dictionaries(database) == 1


def test_after_a_change_of_names_a_better_dictionary_comes_and_the_old_states_stay_readable(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "AGAIN", 10)
    packer = learned(sqlite_database)
    before = packer.pack(a_state(1))
    renamed = {f"quite another name {n}": Membership(False, NEVER, NOON) for n in range(25)}

    for seed in range(SAMPLES + 50):
        packer.pack(a_state(seed))
        settled(sqlite_database, packer)
    unchanged = n_dictionaries(sqlite_database)
    for seed in range(SAMPLES + 50):
        packer.pack(a_state(seed, memberships=renamed))
    settled(sqlite_database, packer)
    settled(sqlite_database, packer)

    after = packer.pack(a_state(1, memberships=renamed))
    assert unchanged == 1  # a dictionary that does no better is not kept
    assert n_dictionaries(sqlite_database) == 2
    assert before[:5] != after[:5]
    with sqlite_database.read() as connection:
        assert read(connection, before) == a_state(1)
        assert read(connection, after) == a_state(1, memberships=renamed)


def test_a_dictionary_holds_nothing_that_anyone_said(database: Database) -> None:
    """It outlives those it was trained on, and their erasure."""
    said = {"distinct": [[NOON], ["nobody-must-read-this"]], "amount00": [[NOON], [123_456_789]]}
    packer = Packer()

    for seed in range(SAMPLES):
        state = a_state(seed, entries={"win-back\norder-of-Ms-Brown": (NOON, NEVER)})
        state.features.update(said)
        state.told = {"caller": "ms-brown@example.com"}
        packer.pack(state)
    settled(database, packer)

    with database.read() as connection:
        ((content,),) = connection.execute("SELECT content FROM state_dictionary")
    assert b"segment-number-1" in bytes(content)
    for text in (b"nobody-must", b"Brown", b"brown"):
        assert text not in bytes(content)
    assert msgspec.msgpack.encode(123_456_789) not in bytes(content)


def test_states_are_read_by_several_threads_at_once(database: Database) -> None:
    packer = learned(database)
    blobs = [packer.pack(a_state(seed)) for seed in range(200)]

    def read_all(_: int) -> list[State]:
        with database.read() as connection:
            return [read(connection, blob) for blob in blobs]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_all, range(4)))

    assert found == [[a_state(seed) for seed in range(200)]] * 4


def test_a_state_without_its_dictionary_is_an_error_that_says_what_to_restore(
    database: Database,
) -> None:
    stored = learned(database, first=40_000).pack(a_state(1))
    states._opened.by_mark.clear()
    with database.write() as connection:
        connection.execute("DELETE FROM state_dictionary")

    with database.read() as connection, pytest.raises(StoreError, match="restore the table"):
        states.plain(stored, connection)


def test_people_with_nothing_in_common_are_written_plainly(database: Database) -> None:
    rng = random.Random(7)
    packer = Packer()

    for _ in range(SAMPLES):
        packer.pack(State(features={rng.randbytes(6).hex(): rng.randbytes(700).hex()}))
    settled(database, packer)
    settled(database, packer)

    assert not is_compressed(packer.pack(a_state(1)))
    assert n_dictionaries(database) == 0
