"""What must be true of journeys once a world is drained: the language's rules under crashes.

Read next: `invariants`, which asks these too.
"""

from collections import Counter, defaultdict
from collections.abc import Callable

import msgspec

from engine.core.journeys.webhooks import WEBHOOK_ANSWERED
from engine.core.model.effects import Emit, Entered, Moved
from engine.release.operating import standings
from engine.sending.webhook_answers import SETTLED
from engine.store.connection import Connection
from engine.store.events import message_hash
from tests.rig.operated import CAMPAIGN
from tests.rig.reading import calls_by_profile, hashes, loaded_people, merged_profiles
from tests.rig.shop import moves_of
from tests.rig.shop_journeys import CALLS, ROUNDS
from tests.rig.world import World

Found = list[str]


def nobody_is_moved_twice(world: World, connection: Connection) -> Found:
    """Rule 6: an enrollment follows a release's move once, and nobody it concerns stays behind."""
    found: Found = []
    merged = merged_profiles(connection)
    for profile, calls in calls_by_profile(world).items():
        release = 0
        for call in calls:
            ahead = Counter(it.version for it in call.program.moves if it.release > release)
            moved = [it for it in call.effects if isinstance(it, Moved)]
            release = call.release
            found += [
                f"enrollment {it.enrollment} moved from {it.version} to itself"
                for it in moved
                if it.origin == it.version
            ]
            times = Counter((it.enrollment, it.version) for it in moved)
            found += [
                f"enrollment {id} moved {n} times to {to}, where {ahead[to]} moves lead"
                for (id, to), n in times.items()
                if n > ahead[to] and profile not in merged
            ]
    files = tuple(
        row[0] for row in connection.execute("SELECT digest FROM release ORDER BY number")
    )
    moves = moves_of(files)
    if not moves or files[-1] != files[moves[-1].release - 1]:
        return found  # gone back since: who came in meanwhile stays on older files
    last = moves[-1]
    met = {id for id, it in loaded_people(connection).items()
           if it.person.state.release >= last.release}  # fmt: skip
    return found + [
        f"enrollment {id} of profile {profile} is inside {version}, and was to move to "
        f"{last.version}"
        for id, profile, version in connection.execute(
            "SELECT id, profile_id, version FROM enrollment WHERE status = 'active' "
            "AND campaign = 'cart' AND version <> ?",
            (last.version,),
        )
        if profile in met
    ]


def nobody_enters_what_is_held(world: World, connection: Connection) -> Found:
    """Operators: a campaign that is paused or drained takes nobody in."""
    found: Found = []
    for call in world.recorder.journal:
        held = {
            order.campaign: order.held for order in world.orders if order.release <= call.release
        }
        found += [
            f"profile {call.profile_id} entered {effect.campaign}, which is {held[effect.campaign]}"
            for effect in call.effects
            if isinstance(effect, Entered) and held.get(effect.campaign)
        ]
    return found


def the_unenrolled_are_out(world: World, connection: Connection) -> Found:
    """Operators: whoever was inside when it was ordered, and has met the order, is out."""
    # Not all who entered under an earlier release: its batch may have committed after the order.
    stood = {order.release: order.inside for order in world.orders}
    met = {id: it.person.state.release for id, it in loaded_people(connection).items()}
    inside = connection.execute(
        "SELECT id, profile_id, campaign FROM enrollment WHERE status = 'active'"
    )
    orders = [
        ended.order for it in standings(connection).values() for ended in it.ended
        if ended.order.step is None
    ]  # fmt: skip
    return [
        f"enrollment {id} of profile {profile} was ended by release {order.release} and is inside"
        for order in orders
        for id, profile, campaign in inside
        if campaign == order.campaign
        and (order.only is None or id in order.only)
        and id in stood.get(order.release, ())
        and order.release <= met.get(profile, 0)
    ]


def the_displaced_stay_silent(world: World, connection: Connection) -> Found:
    """Rule 5: a message that had to give way has no attempt, and no provider heard of it."""
    rows = connection.execute(
        "SELECT m.id, count(a.number) FROM message m LEFT JOIN attempt a ON a.message_id = m.id "
        "WHERE m.reason LIKE 'displaced by%' GROUP BY m.id"
    )
    called = Counter(call.message for call in world.ledger.calls)
    return [
        f"message {id} was displaced, and has {n} attempts and {called[id]} calls"
        for id, n in rows
        if n or called[id]
    ]


def rounds_are_bounded(world: World, connection: Connection) -> Found:
    """A repeat walks its body as often as it says, and no more."""
    walked = {
        ("survey", ("ask", "text", "mail")): ROUNDS,
        ("check", ("call",)): CALLS,
    }
    found: Found = []
    for (campaign, steps), times in walked.items():
        marks = ", ".join(f"'{step}'" for step in steps)
        found += [
            f"enrollment {id} of {campaign} walked its rounds {n} times, {times} are allowed"
            for id, n in connection.execute(
                "SELECT enrollment_id, count(*) FROM message WHERE campaign = ? "
                f"AND step IN ({marks}) GROUP BY enrollment_id HAVING count(*) > ?",
                (campaign, times),
            )
        ]
    return found


def webhooks_are_called_once(world: World, connection: Connection) -> Found:
    """P4: a receiver that honours keys takes one call for each visit, and one answer comes back."""
    accepted = Counter(
        call.message
        for call in world.ledger.calls
        if call.channel == "webhook" and call.is_accepted
    )
    visits: dict[tuple[int, str, int], int] = defaultdict(int)
    settled: set[int] = set()
    for id, enrollment, step, visit, status in connection.execute(
        "SELECT id, enrollment_id, step, visit, status FROM message WHERE channel = 'webhook'"
    ):
        visits[enrollment, step, visit] += accepted[id]
        if status in SETTLED:
            settled.add(id)
    found = [f"visit {visit} was accepted {n} times" for visit, n in visits.items() if n > 1]
    told: Counter[int] = Counter()
    names = connection.execute("SELECT properties FROM event WHERE name = ?", (WEBHOOK_ANSWERED,))
    for (properties,) in names:
        told[int(msgspec.json.decode(properties)["message"])] += 1
    found += [f"the answer of call {id} came {n} times" for id, n in told.items() if n > 1]
    return found + [f"nobody was told of call {id}" for id in sorted(settled - told.keys())]


def answers_are_their_own(world: World, connection: Connection) -> Found:
    """What a step read of an answer is what the receiver said to that person's own call."""
    calls: dict[int, set[int]] = defaultdict(set)
    for profile, id in connection.execute(
        "SELECT profile_id, id FROM message WHERE channel = 'webhook'"
    ):
        calls[profile].add(id)
    merged = merged_profiles(connection)
    return [
        f"profile {call.profile_id} was told of call {effect.properties['of']}, which is not theirs"
        for call in world.recorder.journal
        if call.profile_id not in merged
        for effect in call.effects
        if isinstance(effect, Emit)
        and effect.event == "Checked"
        and effect.properties["of"] not in calls[call.profile_id]
    ]


def a_trigger_starts_once(world: World, connection: Connection) -> Found:
    """P1, P2: a call of the API is kept once under its key, and answered the same every time."""
    known = hashes(connection)
    found: Found = []
    for order, (_, answers) in world.triggers.items():
        n = known[message_hash(f"trigger:{CAMPAIGN}", order)]
        if len(answers) > 1:
            found.append(f"the trigger {order} was answered {sorted(answers)}")
        if (n != 1 and answers) or n > 1:
            found.append(f"the trigger {order} was acknowledged and has {n} events")
    return found + [
        f"profile {profile} entered {CAMPAIGN} {n} times for {key}"
        for profile, key, n in connection.execute(
            "SELECT profile_id, key, count(*) FROM enrollment WHERE campaign = ? "
            "GROUP BY profile_id, key HAVING count(*) > 1",
            (CAMPAIGN,),
        )
    ]


RULES: dict[str, Callable[[World, Connection], Found]] = {
    "P1/P2 triggers": a_trigger_starts_once,
    "P3 moves": nobody_is_moved_twice,
    "P3 held": nobody_enters_what_is_held,
    "P3 unenrolled": the_unenrolled_are_out,
    "P3 displaced": the_displaced_stay_silent,
    "P3 rounds": rounds_are_bounded,
    "P4 webhooks": webhooks_are_called_once,
    "P4 answers": answers_are_their_own,
}
