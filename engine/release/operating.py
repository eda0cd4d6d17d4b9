"""What operators do to a campaign that runs: pause, resume, drain, unenrol. Beside its version.

An order is a row of `operation` and a release of its own (same files), in one transaction, so that
it survives `apply` and restarts and is met by every profile like any other release. Nobody is moved
here: those concerned are woken, and the core does the rest in the ticker's bounded batches.
Read next: `engine.core.journeys.migration`, which ends what an order ends; `live`, which reads the
orders.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from campaigns.problems import advice
from campaigns.schema import EventTriggerForm
from campaigns.step_forms import walk
from campaigns.workspace import Workspace
from engine.core.errors import UsageError
from engine.core.model.campaigns import Campaign, Program, Unenrolment
from engine.core.model.instants import Instant
from engine.reading import find_profile
from engine.release import releases
from engine.store.connection import Connection

Action = Literal["pause", "resume", "drain", "unenrol"]
Held = Literal["", "paused", "draining"]
By = Literal["operator", "automatic"]

ACTIONS: Final[tuple[Action, ...]] = ("pause", "resume", "drain", "unenrol")
_HELD: Final[dict[Action, Held]] = {"pause": "paused", "drain": "draining", "resume": ""}


class Order(Struct, frozen=True):
    """What an operator wants of one campaign. `step` and `profile` (the caller's id) are for
    unenrol; without either it concerns everyone inside. `by` says whether it was a person, or a
    limit of antiphon.yaml that was passed."""

    action: Action
    campaign: str
    step: str | None = None
    profile: str | None = None
    why: str = ""
    by: By = "operator"


class Ended(Struct, frozen=True, omit_defaults=True):
    """An unenrolment that was ordered, and when: it concerns who had entered by then."""

    order: Unenrolment
    at: Instant


class Standing(Struct, frozen=True, omit_defaults=True):
    """What operators have done to one campaign. `why`, `since` and `by` are of what holds it now;
    `resumed_at` is when it was last let go on."""

    held: Held = ""
    why: str = ""
    since: Instant = 0
    ended: tuple[Ended, ...] = ()
    by: By = "operator"
    resumed_at: Instant = 0

    @property
    def by_whom(self) -> str:
        """For people: who holds it."""
        return "by an operator" if self.by == "operator" else "automatically"


class Done(NamedTuple):
    """What an order came to. `release` is 0 where nothing had to change."""

    release: int
    held: Held
    n_people: int


_standing: Final = msgspec.json.Decoder(Standing)


def standings(connection: Connection) -> dict[str, Standing]:
    """What operators have done, by campaign."""
    rows = connection.execute(
        "SELECT name, state FROM operation WHERE noun = 'campaign' ORDER BY name"
    )
    return {name: _standing.decode(state) for name, state in rows}


def carry_out(connection: Connection, order: Order, *, workspace: Workspace, now: Instant) -> Done:
    """Do what an operator wants, within the caller's transaction.

    Args:
        workspace: What is live: it knows the names.
    Returns:
        How many people it concerns: those inside, or those whom an unenrolment ends.
    Raises:
        UsageError: If there is no such campaign, step or profile, or nothing was ever applied.
    """
    newest = releases.live(connection)
    if newest is None:
        raise UsageError("nothing is applied yet. Run: antiphon apply")
    inside = _steps_inside(connection, order.campaign)
    _check_names(order, workspace, inside)
    was = standings(connection).get(order.campaign, Standing())
    if order.action == "unenrol":
        return _unenrol(connection, order, was, newest.digest, inside, now=now)
    held, n_people = _HELD[order.action], sum(inside.values())
    if held == was.held:
        return Done(0, held, n_people)
    number = _record(connection, order, newest.digest, now=now)
    after = (
        Standing(held, order.why, now, was.ended, order.by, was.resumed_at)
        if held
        else Standing(ended=was.ended, resumed_at=now)
    )
    _write(connection, order, after, now=now)
    if not held and _starts_by_itself(workspace, order.campaign):
        wake_everyone(connection, now=now)
    elif was.held == "paused":
        wake_inside(connection, order.campaign, now=now)
    return Done(number, held, n_people)


def overruled(program: Program, found: Mapping[str, Standing]) -> Program:
    """The program as operators want it played."""
    if not found:
        return program
    ended = sorted(
        (each.order for standing in found.values() for each in standing.ended),
        key=lambda order: order.release,
    )
    return msgspec.structs.replace(
        program,
        campaigns={name: _overruled(it, found) for name, it in program.campaigns.items()},
        pinned={key: _overruled(it, found) for key, it in program.pinned.items()},
        unenrolments=tuple(ended),
    )


def stopped(found: Mapping[str, Standing]) -> frozenset[str]:
    """Campaigns that a limit has paused: what they have queued is held back, too."""
    return frozenset(
        name for name, it in found.items() if it.held == "paused" and it.by == "automatic"
    )


def state_played(written: str, held: Held) -> Any:
    """What a campaign is played as: a pause holds everyone, a drain closes what is open."""
    is_over = held == "paused" or (held == "draining" and written == "live")
    return held if is_over else written


def wake_inside(
    connection: Connection, campaign: str, *, now: Instant, step: str | None = None
) -> None:
    """Make everyone inside a campaign due, or everyone who stands at one of its steps."""
    at_step, values = ("", ()) if step is None else (" AND step = ?", (step,))
    connection.execute(
        "INSERT INTO timer (due, profile_id) SELECT DISTINCT CAST(? AS bigint), profile_id "
        f"FROM enrollment WHERE status = 'active' AND campaign = ?{at_step} "
        "ON CONFLICT DO NOTHING",
        (now, campaign, *values),
    )


def wake_everyone(connection: Connection, *, now: Instant) -> int:
    """Make every profile due: each meets the new release when its turn comes."""
    connection.execute(
        "INSERT INTO timer (due, profile_id) SELECT CAST(? AS bigint), profile_id "
        "FROM profile_state WHERE 1 = 1 ON CONFLICT DO NOTHING",
        (now,),
    )
    rows = connection.execute("SELECT count(*) FROM profile_state")
    return int(rows[0][0])


def _unenrol(
    connection: Connection,
    order: Order,
    was: Standing,
    digest: str,
    inside: Mapping[str, int],
    *,
    now: Instant,
) -> Done:
    profile = None if order.profile is None else _profile(connection, order.profile)
    # By enrollment: a profile may be merged into another before it meets the order.
    only = None if profile is None else _enrollments(connection, order, profile)
    n_people = len(only) if only is not None else _n_concerned(order, inside)
    if not n_people:
        return Done(0, was.held, 0)
    number = _record(connection, order, digest, now=now)
    last = int(connection.execute("SELECT coalesce(max(id), 0) FROM enrollment")[0][0])
    new = Unenrolment(number, order.campaign, order.step, only, order.why, last)
    still = tuple(each for each in was.ended if _may_concern(connection, each))
    after = msgspec.structs.replace(was, ended=(*still, Ended(new, now)))
    _write(connection, order, after, now=now)
    if profile is None:
        wake_inside(connection, order.campaign, now=now, step=order.step)
    else:
        connection.execute(
            "INSERT INTO timer (due, profile_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (now, profile),
        )
    return Done(number, was.held, n_people)


def _steps_inside(connection: Connection, campaign: str) -> dict[str, int]:
    rows = connection.execute(
        "SELECT step, count(*) FROM enrollment WHERE status = 'active' AND campaign = ? "
        "GROUP BY step",
        (campaign,),
    )
    return {str(step): int(count) for step, count in rows}


def _n_concerned(order: Order, inside: Mapping[str, int]) -> int:
    return sum(inside.values()) if order.step is None else inside.get(order.step, 0)


def _profile(connection: Connection, id: str) -> int:
    found = find_profile(connection, id, kinds=("user", "anonymous"))
    if found is None:
        raise UsageError(f'no profile has the id "{id}"')
    return found


def _enrollments(connection: Connection, order: Order, profile: int) -> tuple[int, ...]:
    """One person's enrollments in the campaign, at the step if one is named."""
    rows = connection.execute(
        "SELECT id, step FROM enrollment "
        "WHERE profile_id = ? AND status = 'active' AND campaign = ? ORDER BY id",
        (profile, order.campaign),
    )
    return tuple(int(id) for id, step in rows if order.step in (None, step))


def _may_concern(connection: Connection, ended: Ended) -> bool:
    """Whether someone who had entered by then is still inside, and so may not have met it."""
    rows = connection.execute(
        "SELECT 1 FROM enrollment WHERE status = 'active' AND campaign = ? AND entered_at <= ? "
        "LIMIT 1",
        (ended.order.campaign, ended.at),
    )
    return bool(rows)


def _check_names(order: Order, workspace: Workspace, inside: Mapping[str, int]) -> None:
    """Refuse a campaign or step that nobody ever was in and no file knows."""
    form = workspace.campaigns.get(order.campaign)
    if form is None and not inside:
        hint = advice(order.campaign, workspace.campaigns)
        raise UsageError(f'there is no campaign "{order.campaign}".{hint}')
    steps = set(inside) | ({name for name, _ in walk(form.journey)} if form else set())
    if order.step is not None and order.step not in steps:
        hint = advice(order.step, steps)
        raise UsageError(f'the campaign "{order.campaign}" has no step "{order.step}".{hint}')


def _starts_by_itself(workspace: Workspace, campaign: str) -> bool:
    """Whether people may have to come in, or have their next fire armed, without an event."""
    form = workspace.campaigns.get(campaign)
    return form is not None and not isinstance(form.trigger, EventTriggerForm)


def _overruled(campaign: Campaign, found: Mapping[str, Standing]) -> Campaign:
    state = state_played(campaign.state, found.get(campaign.name, Standing()).held)
    return campaign if state == campaign.state else msgspec.structs.replace(campaign, state=state)


def _record(connection: Connection, order: Order, digest: str, *, now: Instant) -> int:
    about = f" at step {order.step}" if order.step else ""
    about += f" for {order.profile}" if order.profile else ""
    why = f": {order.why}" if order.why else ""
    word = order.action if order.by == "operator" else f"{order.action} automatically"
    return releases.record(
        connection,
        digest=digest,
        files=None,
        kind="operation",
        summary=[f'{word} campaign "{order.campaign}"{about}{why}'],
        now=now,
    )


def _write(connection: Connection, order: Order, standing: Standing, *, now: Instant) -> None:
    connection.execute(
        "INSERT INTO operation (noun, name, state, why, at) VALUES ('campaign', ?, ?, ?, ?) "
        "ON CONFLICT (noun, name) DO UPDATE SET state = excluded.state, why = excluded.why, "
        "at = excluded.at",
        (order.campaign, msgspec.json.encode(standing).decode(), order.why, now),
    )


def carry_out_payload(
    connection: Connection, payload: Any, *, workspace: Workspace, now: Instant
) -> dict[str, Any]:
    """`carry_out` for plain data; the result as plain data."""
    done = carry_out(connection, msgspec.convert(payload, Order), workspace=workspace, now=now)
    return done._asdict()
