"""What a world's database says, read for those who judge it.

Read next: `invariants`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from engine.store import people
from engine.store.connection import Connection
from engine.store.events import message_hash
from tests.rig.recorder import Played
from tests.rig.replay import facts
from tests.rig.shop import features_of
from tests.rig.world import World


def hashes(connection: Connection) -> Counter[bytes]:
    """How many events of the log bear each hash of a messageId."""
    return Counter(bytes(row[0]) for row in connection.execute("SELECT message_hash FROM event"))


def loaded_people(connection: Connection) -> dict[int, people.Loaded]:
    """Everyone as a batch would load them, by profile."""
    ids = [row[0] for row in connection.execute("SELECT profile_id FROM profile_state")]
    return people.load(connection, ids)


def merged_profiles(connection: Connection) -> set[int]:
    """Profiles that lost or won a merge."""
    rows = connection.execute("SELECT id, merged_into FROM profile WHERE merged_into IS NOT NULL")
    return {id for row in rows for id in row}


def poisoned_profiles(world: World, connection: Connection) -> set[int]:
    """Profiles that a poison event was about."""
    poison = [message_hash("api", it) for it in world.clients.poison]
    rows = connection.select_in("SELECT profile_id FROM event WHERE message_hash IN (?)", poison)
    return {row[0] for row in rows}


def calls_by_profile(world: World) -> dict[int, list[Played]]:
    """The calls of the core whose batches committed, in order."""
    calls: dict[int, list[Played]] = defaultdict(list)
    for call in world.recorder.journal:
        calls[call.profile_id].append(call)
    return calls


def features_known(connection: Connection) -> Callable[[int], frozenset[str]]:
    """The features that a release kept, by its number."""
    rows = connection.execute("SELECT digest FROM release ORDER BY number")
    files = [row[0] for row in rows]
    return lambda release: features_of(files[release - 1]) if release else frozenset()


def stored_facts(connection: Connection) -> dict[int, dict[str, Any]]:
    """What the database says of every profile, as `Life.facts`."""
    enrollments: dict[int, list[Any]] = defaultdict(list)
    columns = ", ".join(people._ENROLLMENT_COLUMNS)
    for row in connection.execute(f"SELECT {columns} FROM enrollment ORDER BY id"):
        enrollments[row[1]].append(people._enrollment(row))
    messages: dict[int, list[Any]] = defaultdict(list)
    displaced: dict[int, dict[int, str]] = defaultdict(dict)
    for profile, id, enrollment, *rest in connection.execute(
        "SELECT profile_id, id, enrollment_id, step, visit, variant, template, status, reason, at, "
        "due_at, context FROM message ORDER BY id"
    ):
        step, visit, variant, template, status, reason, at, due, context = rest
        if reason.startswith("displaced by"):
            displaced[profile][id] = reason
        # What the outbox made of it later is not the core's: it all began as queued.
        is_of_core = status in ("ghost", "deferred") or (status == "dropped" and context == "{}")
        if not is_of_core:
            status, reason, due = "sent", "", at
        messages[profile].append(
            (id, enrollment, step, visit, variant, template, status, reason, at, due)
        )
    exposures: dict[int, list[Any]] = defaultdict(list)
    for profile, *exposure in connection.execute(
        "SELECT profile_id, experiment, phase, variant, at FROM exposure"
    ):
        exposures[profile].append(tuple(exposure))
    return {
        id: facts(it.person.state, enrollments[id], messages[id], exposures[id], displaced[id])
        for id, it in loaded_people(connection).items()
    }
