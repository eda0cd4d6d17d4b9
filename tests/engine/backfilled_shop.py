"""A small shop for the tests of backfills: a release before somebody wrote its segments, one after,
and random people who go on living while it is prepared.
"""

import random
from itertools import count
from typing import Any

import msgspec

from campaigns.load import load_bundle
from campaigns.workspace import Workspace
from engine.core.clocktime import iso
from engine.core.model.instants import HOUR, MINUTE, SECOND, Instant
from engine.core.model.people import Event
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.release import publish
from engine.release.backfill import Backfilling
from engine.release.live import load_playbook
from engine.release.playbook import Playbook
from engine.release.publish import Built
from engine.store import people
from engine.store.connection import Connection, Row
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker, run_until_idle
from engine.vault import Vault

NOON: Instant = 1_772_452_800_000_000
"""2026-03-02T12:00Z, a Monday, outside of all quiet hours."""
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Page Seen")

_SETTINGS = """\
zone: UTC
consent: {unknown: allow}
topics: {offers: {title: Offers}}
channels: {sms: {provider: sandbox}}
traits: {plan: {type: string}}
"""
_SEGMENTS = {
    "viewer": "{event: Product Viewed, count: {gte: 2}, within: 2h}",
    "left": "{event: Product Added, within: 6h, not_followed_by: {event: Order Completed, "
    "for: 30m}}",
    "buyer": "{event: Order Completed}",
    "big": "{event: Order Completed, where: {properties.price: {gt: 50}}, count: {gte: 2}}",
    "busy": "{session: {duration: {gte: 2m}, within: 2h}}",
    "brief": "{session: {duration: {gte: 2m, lt: 10h}, within: 2h}}",
    "quiet": "{all: [{trait: {plan: gold}}, {not: {event: Page Seen, within: 3h}}]}",
    "gold": "{trait: {plan: gold}}",
    "warm": "{any: [{segment: viewer}, {segment: left}]}",
}
_BEFORE = {
    "viewer": "{event: Product Viewed, count: {gte: 3}, within: 2h}",
    "gone": _SEGMENTS["buyer"],
}
_CAMPAIGNS = {
    "hello": "trigger: {segment: {enter: warm}}\nreentry: {when: after_exit}\n",
    "already": "trigger: {segment: {enter: big, backfill: current}}\n",
    "seen": "trigger: {segment: {enter: viewer}}\nreentry: {when: after_exit}\n",
    "nightly": 'trigger: {schedule: {cron: "0 */5 * * *", audience: busy}}\n'
    "reentry: {when: after_exit}\n",
    "lost": "trigger: {segment: {exit: quiet}}\n",
}
_JOURNEY = (
    "state: live\ntopic: offers\njourney:\n  - delay: 20m\n    id: settle\n"
    "  - send: {channel: sms, template: hi}\n"
)


def files(*, is_new: bool, asks_content: bool = True) -> dict[str, bytes]:
    """The workspace before, and after.

    Args:
        asks_content: Have a segment look into events; else names and times are all that is read.
    """
    segments = _SEGMENTS if is_new else _BEFORE
    campaigns = _CAMPAIGNS if is_new else {"seen": _CAMPAIGNS["seen"]}
    if not asks_content:
        segments = {name: when for name, when in segments.items() if name != "big"}
        campaigns = {name: form for name, form in campaigns.items() if name != "already"}
    found = {"antiphon.yaml": _SETTINGS, "templates/sms/hi.txt": "Hi.\n"}
    for name, when in segments.items():
        found[f"segments/{name}.yaml"] = f"segment: {name}\nwhen: {when}\n"
    for name, form in campaigns.items():
        found[f"campaigns/{name}.yaml"] = f"campaign: {name}\n{form}{_JOURNEY}"
    return {path: text.encode() for path, text in found.items()}


class Shop:
    """One database, its one engine, and a clock that stands still until it is moved."""

    def __init__(
        self,
        database: Database,
        *,
        is_new: bool = False,
        asks_content: bool = True,
        batch: int = 3,
    ) -> None:
        self._asks_content = asks_content
        self.database = database
        self.now = NOON
        self.log = EventLog(events_per_part=40)
        self.vault = Vault({1: "the secret of this test, none"}, entropy=random.Random(2).randbytes)
        self.ingest = Ingest(vault=self.vault, log=self.log)
        self._batch = batch
        self._ids = count(1)
        with database.write() as connection:
            publish.apply(connection, self.workspace(is_new=is_new), now=self.now)
        self.playbook: Playbook = self._loaded()
        self.terms = Terms(
            declared=declared(self.playbook.workspace),
            entropy=random.Random(3).randbytes,
            trigger_age_max=24 * HOUR,
        )
        self.start()

    def workspace(self, *, is_new: bool) -> Workspace:
        found = files(is_new=is_new, asks_content=self._asks_content)
        return load_bundle(found, environ={})

    def start(self) -> None:
        """A new process, whatever became of the one before."""
        self.ticker = Ticker(self.database, vault=self.vault, log=self.log)
        self.backfilling = Backfilling(self.database, vault=self.vault, batch=self._batch)
        self.playbook = self._loaded()

    def _loaded(self) -> Playbook:
        playbook = load_playbook(self.database, vault=self.vault, environ=None)
        assert playbook is not None
        return playbook

    # --- what happens -----------------------------------------------------------------------

    def send(self, *items: dict[str, Any]) -> None:
        batch = [
            {"messageId": f"m{next(self._ids)}", "timestamp": iso(self.now), **it} for it in items
        ]
        prepared = prepare(
            msgspec.json.encode({"batch": batch}),
            kind="batch",
            terms=self.terms,
            received_at=self.now,
        )
        with self.database.write() as connection:
            self.ingest.commit(connection, [prepared], now=self.now)

    def settle(self) -> None:
        """Play all that has happened and is due."""
        run_until_idle(self.ticker, self.playbook, floor=self.now, horizon=self.now)

    def tick(self) -> None:
        self.ticker.tick(self.playbook, floor=self.now, horizon=self.now, limit=5)

    def wait(self, span: int) -> None:
        """Live on for a while, every timer at its instant."""
        end = self.now + span
        self.settle()
        while (due := self.rows("SELECT min(due) FROM timer")[0][0]) is not None and due <= end:
            self.now = max(self.now, int(due))
            self.settle()
        self.now = end

    def publish(self, build: Any = None) -> dict[str, Any]:
        """`antiphon apply` with the new files."""
        done = publish.publish(
            self.database,
            self.workspace(is_new=True),
            write=self._write,
            now=lambda: self.now,
            build=build,
        )
        self.playbook = self._loaded()
        return done

    def begin(self) -> None:
        """Start to prepare the new release, and no more."""
        self.publish(build=lambda: Built(0, 0))

    def step(self) -> bool:
        """One step of the backfill; the engine notices what it has made live."""
        worked = self.backfilling.step(now=self.now)
        if self.rows("SELECT max(number) FROM release")[0][0] != self.playbook.program.release:
            self.playbook = self._loaded()
        return worked

    def _write(self, change: Any) -> Any:
        with self.database.write() as connection:
            return change(connection)

    # --- what can be seen -------------------------------------------------------------------

    def rows(self, sql: str) -> list[Row]:
        with self.database.read() as connection:
            return connection.execute(sql)

    def remembered(self) -> dict[str, Any]:
        """Features, and who is inside what, by the caller's id.

        One event of each name is folded in first: what has left every window goes only then.
        """
        with self.database.read() as connection:
            found = [it.person for it in everyone(connection).values()]
        for person in found:
            for name in NAMES:
                probe = Event(10**9, name, self.now, self.now, {"price": 60})
                self.playbook.segments.observe(person.state.features, probe)
        return {
            person.profile.external_id: (
                person.state.features,
                {name: each.matches for name, each in person.state.memberships.items()},
            )
            for person in found
        }

    def journeys(self) -> list[Row]:
        """Every passage there ever was, without ids."""
        return self.rows(
            "SELECT p.external_id, e.campaign, e.key, e.entered_at, e.status, e.step FROM "
            "enrollment e JOIN profile p ON p.id = e.profile_id ORDER BY 1, 2, 4, 3"
        )

    def members(self) -> list[Row]:
        return self.rows(
            "SELECT m.segment, p.external_id FROM membership m "
            "JOIN profile p ON p.id = m.profile_id ORDER BY 1, 2"
        )


def everyone(connection: Connection) -> dict[int, people.Loaded]:
    ids = connection.execute("SELECT profile_id FROM profile_state ORDER BY profile_id")
    return people.load(connection, [row[0] for row in ids])


def some_events(rng: random.Random, *, n: int, at: Instant) -> list[dict[str, Any]]:
    """What a handful of people do at about this instant, some of it late or out of order."""
    found: list[dict[str, Any]] = []
    for _ in range(n):
        who = f"u{rng.randrange(1, 9)}"
        late = rng.choice((0, 0, 0, 40 * SECOND, 50 * MINUTE))
        item: dict[str, Any] = {
            "type": "track",
            "userId": who,
            "event": rng.choice(NAMES),
            "timestamp": iso(at - late),
            "properties": {"price": rng.randrange(100)},
        }
        if rng.random() < 0.15:
            item = {
                "type": "identify",
                "userId": who,
                "traits": {"plan": rng.choice(("gold", "tin"))},
            }
        elif rng.random() < 0.1:
            # A visitor who turns out to be somebody: two profiles become one.
            visitor = f"a{rng.randrange(1, 4)}-{who}"
            if rng.random() < 0.5:
                item = {**item, "anonymousId": visitor}
                del item["userId"]
            else:
                item = {"type": "identify", "userId": who, "anonymousId": visitor, "traits": {}}
        found.append(item)
    return found
