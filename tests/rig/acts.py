"""What can happen in a world, one verb each: by clients, providers, operators, time, the engine.

Each changes the world it is given, at its present instant.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from channels.delivery import DeliveryEvent
from engine.consent.unsubscribe import Scope, withdraw
from engine.core.errors import NotOwner
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.hearing.attribution import Speaker
from engine.hearing.hear import Heard, hear
from engine.intake.prepare import Answer, prepare
from engine.release.operating import Action, Order
from tests.rig.clients import Batch
from tests.rig.shop import VERSIONS, the_names

if TYPE_CHECKING:
    from tests.rig.world import World

PUBLISHED_MAX: Final = 5
ORDERS_MAX: Final = 8
ACTIONS: Final[tuple[Action, ...]] = (
    "pause", "pause", "resume", "resume", "drain", "unenrol", "unenrol", "unenrol",
)  # fmt: skip
CHANNELS: Final = ("email", "sms", "webhook")


@dataclass(frozen=True)
class Withdrawn:
    """An acknowledged withdrawal, and the attempts there were when it was acknowledged."""

    profile_id: int
    channel: str
    topic: str
    attempts: frozenset[tuple[int, int]]


def send(world: "World") -> None:
    """Clients send new batches, several at once sometimes."""
    poison = world.poison.pop() if world.poison and world.rng.random() < 0.3 else ""
    batches = [world.clients.a_batch(world.now, poison=poison)]
    while world.rng.random() < 0.3:
        batches.append(world.clients.a_batch(world.now))
    hand_in(world, batches)


def send_again(world: "World") -> None:
    """Clients send again what nobody answered."""
    unanswered = world.clients.unanswered
    if unanswered:
        hand_in(world, [world.rng.choice(unanswered) for _ in range(world.rng.randint(1, 2))])


def hand_in(world: "World", batches: list[Batch]) -> None:
    """Requests that are committed in one group."""
    process = world.process
    asked: list[tuple[Batch, Future[list[Answer]]]] = []
    try:
        for batch in batches:
            batch.n_tries += 1
            prepared = prepare(
                batch.payload, kind="batch", terms=process.terms, received_at=world.now
            )
            asked.append((batch, process.commits.submit(prepared)))
        process.commits._take_turn()
    finally:
        # Whoever was answered before the process died has been told.
        for batch, future in asked:
            if future.done() and future.exception() is None:
                world.clients.settle(batch, [it.status for it in future.result()])


def trigger(world: "World") -> None:
    """A caller starts a journey by the API, often one that it has tried to start before."""
    known = list(world.triggers)
    if known and world.rng.random() < 0.5:
        order = world.rng.choice(known)
    else:
        order = f"p{len(known)}"
        world.triggers[order] = (f"u{world.rng.randrange(world.plan.n_people)}", set())
    user, answers = world.triggers[order]
    call = world.process.a_trigger(user, order, now=world.now)
    done = world.process.trigger(call, now=world.now)
    if done.status != "unknown":
        answers.add(f"{done.status}: " if done.status == "reused" else done.trigger)


def tick(world: "World") -> bool:
    """One batch; whether there was something to do."""
    world.recorder.staged = []
    horizon = min(world.now, world.stop_at) if world.stop_at else world.now
    try:
        done = world.process.ticker.tick(
            world.process.playbook,
            floor=0 if world.plan.is_virtual else world.now,
            horizon=horizon,
            limit=world.rng.choice(world.plan.tick_limits),
        )
    except NotOwner:
        # Usurped: this one stops, and the other has already taken its place.
        return True
    finally:
        world.was_careful |= world.process.ticker.is_careful
    return not done.is_idle


def drain_outbox(world: "World") -> bool:
    """One pass over some channels; whether there was something to do."""
    is_busy = False
    for channel in world.rng.sample(CHANNELS, k=world.rng.randint(1, 3)):
        is_busy |= drain_channel(world, channel, limit=world.rng.choice((1, 3, 200)))
    return is_busy


def drain_channel(world: "World", channel: str, *, limit: int) -> bool:
    outbox, playbook = world.process.outbox, world.process.playbook
    done = world.loop.run_until_complete(
        outbox.drain(playbook, channel, now=world.now, limit=limit)
    )
    return not done.is_idle


def report(world: "World") -> None:
    """A provider calls back: some of what it has to say, shuffled, with repeats."""
    names = [name for name, reports in world.ledger.reports.items() if reports]
    if names:
        name = world.rng.choice(names)
        known = world.ledger.reports[name]
        told = world.rng.choices(known, k=world.rng.randint(1, 2 * len(known)))
        take_reports(world, name, told)


def take_reports(world: "World", provider: str, reports: list[DeliveryEvent]) -> None:
    log, now = world.process.log, world.now
    channel = provider.removeprefix("double-")
    told = Heard(Speaker(channel, channel, provider), reports)
    hash_of = world.process.vault.address_hash
    world.process.write(
        lambda connection: hear(connection, [told], address_hash=hash_of, log=log, now=now)
    )


def unsubscribe(world: "World") -> None:
    """Somebody withdraws; often one for whom a message is just on its way.

    Most use the link of a message they got; a queued one stands for any other way to say no.
    """
    with world.process.database.read() as connection:
        rows = connection.execute(
            "SELECT id, profile_id IN (SELECT profile_id FROM message WHERE status = 'queued' "
            "AND topic = 'offers' AND due_at <= ?) FROM message "
            "WHERE status IN ('sent', 'queued') AND channel <> 'webhook' ORDER BY id",
            (world.now,),
        )
    waited_for = [row[0] for row in rows if row[1]] if world.rng.random() < 0.7 else []
    if not rows:
        return
    message = world.rng.choice(waited_for or [row[0] for row in rows])
    scope: Scope = world.rng.choice(("topic", "topic", "all"))
    log, now = world.process.log, world.now
    done = world.process.write(
        lambda connection: withdraw(
            connection, message=message, scope=scope, log=log, now=now, proof="rig"
        )
    )
    assert done is not None
    if not done.is_repeated:
        world.unsubscribed.append(
            DeliveryEvent("unsubscribed", message, f"{message}:{done.topic}", world.now)
        )
    _acknowledge(world, message, done.channel, done.topic)


def _acknowledge(world: "World", message: int, channel: str, topic: str) -> None:
    with world.process.database.read() as connection:
        ((profile_id,),) = connection.execute(
            "SELECT coalesce(p.merged_into, p.id) FROM message m "
            "JOIN profile p ON p.id = m.profile_id WHERE m.id = ?",
            (message,),
        )
        attempts = attempts_of(connection, profile_id, channel, topic)
    world.withdrawals.append(Withdrawn(profile_id, channel, topic, attempts))


def attempts_of(
    connection: Any, profile_id: int, channel: str, topic: str
) -> frozenset[tuple[int, int]]:
    """The attempts at this person on a channel, for a topic or ("*") all marketing."""
    rows = connection.execute(
        "SELECT a.message_id, a.number FROM attempt a JOIN message m ON m.id = a.message_id "
        "JOIN profile p ON p.id = m.profile_id "
        "WHERE coalesce(p.merged_into, p.id) = ? AND m.channel = ? AND m.topic <> 'orders' "
        "AND (m.topic = ? OR ? = '*')",
        (profile_id, channel, topic, topic),
    )
    return frozenset((row[0], row[1]) for row in rows)


def pass_time(world: "World") -> None:
    world.now += world.rng.choice((SECOND, MINUTE, 10 * MINUTE, 31 * MINUTE, 2 * HOUR, 7 * HOUR))


def jump(world: "World") -> None:
    """Somebody sets the machine's clock."""
    world.now += world.rng.choice((-2 * MINUTE, -20 * SECOND, 3 * HOUR))


def restart(world: "World") -> None:
    """A clean restart, or a night of them in which nothing happened to play."""
    for _ in range(world.rng.choice((1, 1, 7))):
        world.die()
        world.start()
        world.process.ticker.claim(now=world.now)


def publish(world: "World") -> None:
    """Other files go live: newer ones, which move people, or older ones, which do not."""
    if world.n_published >= PUBLISHED_MAX:
        return
    with world.process.database.read() as connection:
        rows = connection.execute("SELECT digest FROM release ORDER BY number DESC LIMIT 1")
    live = rows[0][0]
    files = world.rng.choice([it for it in VERSIONS if it != live])
    world.process.publish(files, is_rollback=files < live, now=world.now)
    world.n_published += 1


def operate(world: "World") -> None:
    """An operator pauses, drains or resumes a campaign, or ends it for some of those inside."""
    if len(world.orders) >= ORDERS_MAX:
        return
    action: Action = world.rng.choice(ACTIONS)
    campaign = world.rng.choice(sorted(the_names()))
    step = profile = None
    if action == "unenrol":
        how = world.rng.randrange(3)
        if how == 1:
            step = _a_step_with_people(world, campaign)
        elif how == 2:
            profile = f"u{world.rng.randrange(world.plan.n_people)}"
    _carry_out(world, Order(action, campaign, step, profile, "the rig says so"))


def resume_all(world: "World") -> None:
    """Whatever an operator holds goes on."""
    for campaign in sorted(the_names()):
        _carry_out(world, Order("resume", campaign))


def _carry_out(world: "World", order: Order) -> None:
    held = world.process.order(order, now=world.now)
    if held is not None:
        world.orders.append(held)


def _a_step_with_people(world: "World", campaign: str) -> str | None:
    with world.process.database.read() as connection:
        rows = connection.execute(
            "SELECT DISTINCT step FROM enrollment WHERE status = 'active' AND campaign = ? "
            "ORDER BY step",
            (campaign,),
        )
    return world.rng.choice(rows)[0] if rows else None


def usurp(world: "World") -> None:
    """Another engine takes the partitions while this one is at work."""
    world.n_usurped += 1
    other = world.process.a_ticker(f"usurper {world.n_usurped}")
    other.claim(now=world.now)
    world.process.ticker = other
    if world.rng.random() < 0.5:
        staged, world.recorder.staged = world.recorder.staged, []
        tick(world)
        world.recorder.staged = staged
