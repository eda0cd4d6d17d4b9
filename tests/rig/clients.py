"""Those who send events: batches with messageIds, kept and sent again until a 2xx came back."""

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.core.clocktime import iso
from engine.core.model.instants import HOUR, MINUTE, Instant

EVENTS = (
    ("Product Viewed", 45),
    ("Product Added", 25),
    ("Order Completed", 10),
    ("Page Seen", 10),
    ("identify", 10),
)


@dataclass
class Batch:
    """One request, byte for byte the same at every try."""

    ids: list[str]
    payload: bytes
    n_tries: int = 0


@dataclass
class Clients:
    """All of them together.

    Attributes:
        sent: Every messageId ever sent, with whether its event is poison.
        has_devices: Whether people also come as anonymous visitors, to be merged later.
        acknowledged: Those answered with a 2xx.
        unanswered: Batches to be sent again, same bytes.
    """

    rng: random.Random
    n_people: int
    has_devices: bool = False
    poison: dict[str, str] = field(default_factory=dict)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    unanswered: list[Batch] = field(default_factory=list)

    def a_batch(self, now: Instant, *, poison: str = "") -> Batch:
        """A new batch: fresh events, some sent before, some twice in it, in any order."""
        items: list[dict[str, Any]] = []
        for _ in range(self.rng.randint(1, 6)):
            items.append(self._an_item(now))
        if poison:
            self._spoil(items[-1], poison)
        if self.sent and self.rng.random() < 0.3:
            items.append(self.sent[self.rng.choice(list(self.sent))])
        if self.rng.random() < 0.2:
            items.append(items[0])
        self.rng.shuffle(items)
        for item in items:
            self.sent.setdefault(item["messageId"], item)
        batch = Batch(
            [item["messageId"] for item in items],
            msgspec.json.encode({"batch": items, "sentAt": iso(now)}),
        )
        self.unanswered.append(batch)
        return batch

    def settle(self, batch: Batch, statuses: list[str]) -> None:
        """A 2xx came: every item of the batch is accepted or known."""
        assert set(statuses) <= {"accepted", "duplicate"}, statuses
        self.acknowledged.update(batch.ids)
        if batch in self.unanswered:
            self.unanswered.remove(batch)

    def _an_item(self, now: Instant) -> dict[str, Any]:
        rng = self.rng
        user = f"u{rng.randrange(self.n_people)}"
        number = len(self.sent) + rng.randrange(1_000_000) * 1_000
        name = rng.choices([name for name, _ in EVENTS], [weight for _, weight in EVENTS])[0]
        late = rng.choice((0, 0, 0, rng.randrange(20 * MINUTE), 30 * HOUR))
        item: dict[str, Any] = {
            "messageId": f"m{number}",
            "userId": user,
            "timestamp": iso(now - late),
        }
        device = f"a{user[1:]}-{rng.randrange(3)}"
        if name == "identify" or not any(it.get("userId") == user for it in self.sent.values()):
            if self.has_devices and rng.random() < 0.4:
                item["anonymousId"] = device
            return item | {"type": "identify", "traits": self._traits(user)}
        if self.has_devices and rng.random() < 0.2:
            del item["userId"]
            item["anonymousId"] = device
        properties = {
            "cart": f"c{rng.randrange(3)}", "order": f"o{number}", "price": rng.randrange(5, 60)
        }  # fmt: skip
        return item | {"type": "track", "event": name, "properties": properties}

    def _traits(self, user: str) -> dict[str, Any]:
        traits: dict[str, Any] = {
            "email": f"{user}@example.com",
            "consent": {"email": {"offers": self.rng.random() < 0.95}, "sms": {"offers": True}},
        }
        if self.rng.random() < 0.8:
            traits["phone"] = f"+4915100000{user[1:]:>03}"
        if self.rng.random() < 0.3:
            traits["plan"] = self.rng.choice(("gold", "basic"))
        if self.rng.random() < 0.3:
            traits["birthday"] = self.rng.choice(("1990-03-02", "1985-03-03", "2001-07-09"))
        return traits

    def _spoil(self, item: dict[str, Any], how: str) -> None:
        item.pop("traits", None)
        item |= {"type": "track", "event": "Product Viewed", "properties": {"poison": how}}
        self.poison[item["messageId"]] = how
