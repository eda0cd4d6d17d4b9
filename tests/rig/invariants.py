"""What must be true of a world once it is drained, one function a promise.

Each gives the violations it found, in words; an empty list is the promise kept.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from engine.core.journeys.webhooks import WEBHOOK_ANSWERED
from engine.core.model.instants import NEVER
from engine.hearing.feedback import ORDER
from engine.hearing.settling import WHY as SETTLED
from engine.store import people
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import MERGE, OWN, message_hash
from engine.ticking.wire import contact_keys, decode, settle
from engine.vault import Vault
from tests.rig.acts import attempts_of
from tests.rig.build import EXPERIMENT
from tests.rig.process import SECRET
from tests.rig.reading import (
    calls_by_profile,
    features_known,
    hashes,
    loaded_people,
    merged_profiles,
    poisoned_profiles,
    stored_facts,
)
from tests.rig.replay import Life, in_one_go
from tests.rig.rules import RULES
from tests.rig.shop import the_shop
from tests.rig.world import World

Found = list[str]
KEYED = ("sms", "webhook")
"""Channels whose double honours idempotency keys."""


def check(world: World) -> Found:
    """Every promise of the rig, over the world's database."""
    database = Database(world.url)
    try:
        with database.read() as connection:
            return [
                f"{name}: {words}"
                for name, look in CHECKS.items()
                for words in look(world, connection)
            ]
    finally:
        database.close()


def acknowledged_is_kept(world: World, connection: Connection) -> Found:
    """P1: what was answered with a 2xx is in the log."""
    known = hashes(connection)
    return [
        f"{message} was acknowledged and is lost"
        for message in sorted(world.clients.acknowledged)
        if message_hash("api", message) not in known
    ]


def one_effect_a_message(world: World, connection: Connection) -> Found:
    """P2: the log holds every messageId once, and nothing that nobody sent."""
    known = hashes(connection)
    sent = {message_hash("api", message): message for message in world.clients.sent}
    found = [
        f"{message} has {known[key]} events" for key, message in sent.items() if known[key] != 1
    ]
    names = ("Product Viewed", "Product Added", "Order Completed", "Page Seen")
    rows = connection.execute("SELECT name, message_hash FROM event")
    strange = [name for name, key in rows if name in names and bytes(key) not in sent]
    return found + [f"an event {name} that nobody sent" for name in strange]


def played_once_and_in_order(world: World, connection: Connection) -> Found:
    """P3, P6, P12: every event is played exactly once, in order, but for the poison ones."""
    found: Found = []
    played: dict[int, list[int]] = defaultdict(list)
    for call in world.recorder.journal:
        played[call.profile_id] += [event.seq for event in call.events]
    for profile_id, seqs in played.items():
        if seqs != sorted(set(seqs)):
            found.append(f"profile {profile_id} played out of order or twice: {seqs}")
    times = Counter(seq for seqs in played.values() for seq in seqs)
    poison = {message_hash("api", it) for it in world.clients.poison}
    parked = {row[0] for row in connection.execute("SELECT ref FROM parked WHERE kind = 'event'")}
    rows = connection.execute("SELECT seq, message_hash, flags, accepted_at, name FROM event")
    for seq, key, flags, accepted_at, name in rows:
        if flags & (OWN | MERGE):
            if times[seq]:
                found.append(f"event {seq} of our own was played from the log")
        elif bytes(key) in poison:
            if times[seq] or (seq not in parked and accepted_at <= world.stop_at):
                found.append(f"poison event {seq} was not parked")
        elif accepted_at <= world.stop_at and times[seq] != 1:
            found.append(f"event {seq} ({name}) was played {times[seq]} times")
        elif seq in parked:
            found.append(f"event {seq} ({name}) is parked and was no poison")
    others = connection.execute("SELECT kind, reason FROM parked WHERE kind <> 'event'")
    return found + [f"a {kind} is parked: {reason}" for kind, reason in others]


def nobody_is_stuck(world: World, connection: Connection) -> Found:
    """P3: whoever waits for an instant has a timer that comes no later; rows agree."""
    timers: dict[int, int] = dict(
        connection.execute("SELECT profile_id, min(due) FROM timer GROUP BY profile_id")
    )
    found = [
        f"enrollment {id} of profile {profile} waits for {due} without a timer"
        for id, profile, due in connection.execute(
            "SELECT id, profile_id, due_at FROM enrollment WHERE status = 'active' AND due_at < ? "
            "AND campaign NOT IN (SELECT name FROM operation WHERE state LIKE '%\"paused\"%')",
            (NEVER,),
        )
        if timers.get(profile, NEVER) > due
    ]
    overdue = connection.execute("SELECT count(*) FROM timer WHERE due <= ?", (world.stop_at,))
    if overdue[0][0]:
        found.append(f"{overdue[0][0]} timers are overdue")
    inside: dict[int, set[str]] = defaultdict(set)
    for segment, profile in connection.execute("SELECT segment, profile_id FROM membership"):
        inside[profile].add(segment)
    for it in loaded_people(connection).values():
        state, id = it.person.state, it.person.profile.id
        if state.armed_at < timers.get(id, NEVER):
            found.append(f"profile {id} believes in a timer that is not there")
        if people.members_of(state.memberships) != inside[id]:
            found.append(f"memberships of profile {id} differ from its state")
    return found


def the_same_as_in_memory(world: World, connection: Connection) -> Found:
    """P3: what is stored of every profile equals the same calls played without a database."""
    found: Found = []
    merged = merged_profiles(connection)
    poisoned = poisoned_profiles(world, connection)
    calls = calls_by_profile(world)
    stored = stored_facts(connection)
    features_at = features_known(connection)
    for profile_id, own in sorted(calls.items()):
        if profile_id in merged or profile_id in poisoned:
            continue
        life = Life(profile_id, features_at=features_at)
        for call in own:
            life.live(call)
        found += _differences("in memory", profile_id, life.facts(), stored[profile_id])
    return found


def the_same_in_one_go(world: World, connection: Connection) -> Found:
    """Batches, crashes and delays change nothing: the history played in one call says the same."""
    if not world.plan.is_virtual or world.was_careful:
        return []  # an item tried alone may be cut from others of its instant
    found: Found = []
    excluded = merged_profiles(connection) | poisoned_profiles(world, connection)
    excluded |= _cut_by_a_merge(connection) | _answered_late(world)
    loaded, stored = loaded_people(connection), stored_facts(connection)
    vault = Vault({1: SECRET}, entropy=lambda n: bytes(n))
    playbook = the_shop()
    calls = calls_by_profile(world)
    for profile_id in sorted(stored.keys() - excluded):
        rows = connection.execute(
            "SELECT seq, profile_id, name, at, accepted_at, flags, properties, context, traits "
            "FROM event WHERE profile_id = ? AND flags <> ? AND accepted_at <= ? ORDER BY seq",
            (profile_id, OWN, world.stop_at),
        )
        decoded = [decode(row) for row in rows]
        it = loaded[profile_id]
        keys = _keys(decoded, it, vault)
        events = [settle(each, it, keys, {}, playbook) for each in decoded]
        life = in_one_go(calls[profile_id], events, horizon=world.stop_at)
        found += _differences("in one go", profile_id, life.facts(), stored[profile_id])
    return found


def _answered_late(world: World) -> set[int]:
    """Whoever was told of a webhook at an instant that had been played: an answer bears the instant
    at which the outbox began its pass."""
    found: set[int] = set()
    for profile_id, calls in calls_by_profile(world).items():
        played = 0
        for call in calls:
            answers = [it.accepted_at for it in call.events if it.name == WEBHOOK_ANSWERED]
            if answers and min(answers) <= played:
                found.add(profile_id)
            played = max(played, call.horizon)
    return found


def _cut_by_a_merge(connection: Connection) -> set[int]:
    """Whoever had events of one instant on both sides of somebody else's merge.

    A merge is played alone, so they were played in two batches, and what fell due at that very
    instant in between: the one place where a batch ends inside an instant.
    """
    rows = connection.execute(
        "SELECT a.profile_id FROM event m JOIN event a ON a.accepted_at = m.accepted_at "
        "AND a.seq < m.seq JOIN event b ON b.profile_id = a.profile_id "
        "AND b.accepted_at = m.accepted_at AND b.seq > m.seq WHERE m.flags = ?",
        (MERGE,),
    )
    return {row[0] for row in rows}


def the_ledger_agrees(world: World, connection: Connection) -> Found:
    """P4: every call had its attempt row, and what we say of messages is what happened."""
    found: Found = []
    attempts: dict[tuple[int, int], str] = {
        (row[0], row[1]): row[2]
        for row in connection.execute("SELECT message_id, number, outcome FROM attempt")
    }
    settled = {
        (row[0], row[1])
        for row in connection.execute(
            "SELECT message_id, number FROM attempt WHERE detail = ?", (SETTLED,)
        )
    }
    accepted = Counter(call.message for call in world.ledger.calls if call.is_accepted)
    found += [
        f"message {message}: a report is said to have settled it, and nobody accepted it"
        for message, _ in settled
        if not accepted[message]
    ]
    for call in world.ledger.calls:
        outcome = attempts.get((call.message, call.attempt))
        if not call.attempt or outcome is None:
            found.append(f"message {call.message}: a call without an attempt row before it")
        elif (
            outcome not in (call.reply, "ambiguous") and (call.message, call.attempt) not in settled
        ):
            found.append(
                f"message {call.message}: the provider said {call.reply}, we wrote {outcome}"
            )
    ambiguous = Counter(
        key[0] for key, outcome in attempts.items() if outcome == "ambiguous" or key in settled
    )
    said = Counter(key[0] for key, outcome in attempts.items() if outcome == "accepted")
    for id, channel, topic, status in connection.execute(
        "SELECT id, channel, topic, status FROM message"
    ):
        n = accepted[id]
        may_repeat = topic == "orders" or channel in KEYED
        if n > 1 and (not may_repeat or channel in KEYED):
            found.append(f"message {id} ({channel}, {topic}) was accepted {n} times")
        if n > 1 + ambiguous[id]:
            found.append(f"message {id}: {n} acceptances and {ambiguous[id]} ambiguous calls")
        if status == "sent" and (n < 1 or said[id] != 1):
            found.append(f"message {id} is sent, but was accepted {n} times")
        if status != "sent" and said[id]:
            found.append(f"message {id} is {status} though a call of it was accepted")
        if n and status not in ("sent", "unknown") and not (may_repeat and ambiguous[id]):
            found.append(f"message {id} is {status}, but was accepted {n} times")
        if status == "unknown" and not ambiguous[id]:
            found.append(f"message {id} is unknown without an ambiguous call")
        if status in ("attempting", "queued"):
            found.append(f"message {id} is left {status}")
    open_rows = [key for key, outcome in attempts.items() if not outcome]
    return found + [f"attempt {key} has no outcome" for key in open_rows]


def webhooks_only_move_forward(world: World, connection: Connection) -> Found:
    """P5: delivery rows equal those of the same reports, sorted and unique."""
    expected: dict[int, list[Any]] = {}
    reports = [it for known in world.ledger.reports.values() for it in known]
    for it in sorted([*reports, *world.unsubscribed], key=lambda it: it.at):
        assert it.message is not None
        row = expected.setdefault(it.message, ["queued", it.at, None, None])
        kind = "delivered" if it.is_machine else it.kind if it.kind in ORDER else "queued"
        if (ORDER[kind], -it.at, kind) > (ORDER[row[0]], -row[1], row[0]):
            row[0], row[1] = kind, it.at
        if kind == "opened" and row[2] is None:
            row[2] = it.at
        if kind == "clicked" and row[3] is None:
            row[3] = it.at
    stored = {
        row[0]: list(row[1:])
        for row in connection.execute(
            "SELECT message_id, status, at, opened_at, clicked_at FROM delivery"
        )
    }
    return [
        f"delivery of message {id} is {stored.get(id)}, expected {expected.get(id)}"
        for id in sorted(expected.keys() | stored.keys())
        if stored.get(id) != expected.get(id)
    ]


def variants_never_change(world: World, connection: Connection) -> Found:
    """P9: one variant per person and experiment, in exposures and in every enrollment since."""
    merged = merged_profiles(connection)
    found: Found = []
    first: dict[int, tuple[str, int]] = {}
    for profile, variant, at in connection.execute(
        "SELECT profile_id, variant, at FROM exposure WHERE experiment = ? ORDER BY at",
        (EXPERIMENT,),
    ):
        if profile in first and profile not in merged:
            found.append(f"profile {profile} was exposed to {first[profile][0]} and {variant}")
        first.setdefault(profile, (variant, at))
    for profile, variants, held_by in connection.execute(
        "SELECT profile_id, variants, held_by FROM enrollment ORDER BY id"
    ):
        variant = msgspec.json.decode(variants).get(EXPERIMENT)
        if not variant or held_by or profile in merged:
            continue
        if profile not in first:
            found.append(f"profile {profile} walked {variant} without an exposure")
        elif first[profile][0] != variant:
            found.append(f"profile {profile} was {first[profile][0]} and walked {variant}")
    return found


def nothing_after_no(world: World, connection: Connection) -> Found:
    """P10: no attempt commits after a withdrawal was acknowledged."""
    found: Found = []
    merged = merged_profiles(connection)
    for it in world.withdrawals:
        if it.profile_id in merged:
            continue
        late = attempts_of(connection, it.profile_id, it.channel, it.topic) - it.attempts
        if late:
            found.append(f"profile {it.profile_id} said no to {it.topic}, then came {sorted(late)}")
    return found


def merged_are_closed(world: World, connection: Connection) -> Found:
    """Rule 7: whoever lost a merge leaves nothing behind but a redirect."""
    return [
        f"profile {loser} lost a merge and still has {n} rows in {table}"
        for table in ("event", "enrollment", "membership", "profile_state", "exposure")
        for loser, n in connection.execute(
            f"SELECT p.id, count(*) FROM profile p JOIN {table} t ON t.profile_id = p.id "
            "WHERE p.merged_into IS NOT NULL GROUP BY p.id"
        )
    ]


CHECKS: dict[str, Callable[[World, Connection], Found]] = {
    "P1": acknowledged_is_kept,
    "P2": one_effect_a_message,
    "P3/P6/P12 played once": played_once_and_in_order,
    "P3 stuck": nobody_is_stuck,
    "P3 replay": the_same_as_in_memory,
    "P3 one go": the_same_in_one_go,
    "P4": the_ledger_agrees,
    "P5": webhooks_only_move_forward,
    "P9": variants_never_change,
    "P10": nothing_after_no,
    "merges": merged_are_closed,
    **RULES,
}


def _differences(
    how: str, profile_id: int, expected: dict[str, Any], stored: dict[str, Any]
) -> Found:
    return [
        f"profile {profile_id}: {part} differs from its history played {how}: "
        f"expected {_short(expected[part])}, stored {_short(stored[part])}"
        for part in expected
        if expected[part] != stored[part]
    ]


def _short(value: Any) -> str:
    def opened(it: Any) -> Any:
        return msgspec.msgpack.decode(it) if isinstance(it, bytes) else it

    if isinstance(value, dict):
        value = {name: opened(it) for name, it in value.items()}
    elif isinstance(value, list):
        value = [opened(it) for it in value]
    return str(value)[:1500]


def _keys(decoded: list[Any], it: people.Loaded, vault: Vault) -> dict[tuple[str, str], str]:
    return contact_keys({it.person.profile.id: decoded}, {it.person.profile.id: it}, vault)
