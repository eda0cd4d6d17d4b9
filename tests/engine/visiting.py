"""A shop whose web messages wait for its visitors, and the pages that ask for them.

visits = Visits(database)
visits.identify("u1"); visits.show("u1"); visits.seen("u1")
"""

import asyncio
import hashlib
import hmac
import random
from pathlib import Path
from typing import Any

from channels import open_provider
from engine.core.model.instants import Instant
from engine.placements import Shown, Visitor, shown_to
from engine.sending.composing import Links
from engine.sending.outbox import Outbox
from engine.settings import link_key, read_settings, visitor_key
from engine.store.database import Database
from tests.campaigns.build import SETTINGS
from tests.engine.shop_stage import SECRET, Shop

PAGE = """---
placement: top
kind: banner
priority: 70
---
<p>Hi {{ profile.first_name }}, <a href="https://shop.example/{{ event.cart_id }}">come</a>
<a href="{{ unsubscribe_url }}">no more</a></p>
"""
CAMPAIGN = """campaign: {name}
trigger: {{event: {event}}}
reentry: {{when: after_exit}}
topic: {topic}
journey:
  - send: {{channel: web, template: {template}{more}}}
    id: show
"""
FILES = {
    "antiphon.yaml": SETTINGS.replace("sms: {}}", "sms: {}, web: {provider: placement}}").replace(
        "  vip: {type: boolean}\n",
        "  vip: {type: boolean}\n  first_name: {type: string, pii: true}\n",
    ),
    "events/viewed.yaml": "event: Page Viewed\n",
    "templates/web/promo.html": PAGE,
    "templates/web/hint.html": "<p>In the page</p>",
    "templates/web/news.html": "---\nkind: modal\n---\n<p>News</p>",
}


def a_campaign(
    name: str, event: str, *, template: str, topic: str = "offers", more: str = ""
) -> dict[str, str]:
    """A campaign that shows a template as soon as an event comes in."""
    text = CAMPAIGN.format(name=name, event=event, template=template, topic=topic, more=more)
    return {f"campaigns/{name}.yaml": text}


class Visits(Shop):
    """Product Added shows the banner `promo`, Order Completed the in-page `hint`, Page Viewed the
    modal `news`, whose topic is transactional."""

    def __init__(self, database: Database, **changed: str) -> None:
        files = {
            **FILES,
            **a_campaign("cart", "Product Added", template="promo"),
            **a_campaign("thanks", "Order Completed", template="hint", more=", expires: 2h"),
            **a_campaign("notice", "Page Viewed", template="news", topic="orders"),
        }
        super().__init__(database, {**files, **changed})

    def identify(self, user: str, **traits: Any) -> None:
        self.send({
            "type": "identify", "userId": user, "traits": {"first_name": "Ada", **traits},
            "context": {"consent": {"web": {"offers": True}}},
        })  # fmt: skip

    def visitor(self, anonymous: str, name: str = "Ada") -> None:
        self.send({
            "type": "identify", "anonymousId": anonymous, "traits": {"first_name": name},
            "context": {"consent": {"web": {"offers": True}}},
        })  # fmt: skip

    def show(
        self, id: str, event: str = "Product Added", *, kind: str = "user", **more: Any
    ) -> None:
        """Let a message be made and kept."""
        name = "userId" if kind == "user" else "anonymousId"
        cart = f"c{self.now}{random.random()}"
        self.send({
            "type": "track", name: id, "event": event, "properties": {"cart_id": cart, **more},
        })  # fmt: skip
        self.settle()
        self.drain("web")

    def drain(self, channel: str) -> int:
        provider = open_provider(
            "web", "placement", {}, directory=Path("."), rng=random.Random(1), now=lambda: self.now
        )
        return self.drain_with(provider, channel)

    def drain_with(self, provider: Any, channel: str = "web") -> int:
        async def once() -> int:
            outbox = self.outbox(provider)
            outbox.recover(self.playbook, now=self.now)
            return (await outbox.drain(self.playbook, channel, now=self.now)).n_attempts

        return asyncio.run(once())

    def outbox(self, provider: Any) -> Outbox:
        return Outbox(
            self.database,
            vault=self.vault,
            providers={"web": provider},
            links=Links("https://shop.example", b"0123456789abcdef"),
            rng=random.Random(3),
            log=self.log,
        )

    def seen(self, id: str, *, kind: Any = "user", now: Instant | None = None) -> list[Shown]:
        """What the visitor may be shown."""
        with self.database.read() as connection:
            (found,) = shown_to(
                connection,
                [Visitor(id, (kind,))],
                program=self.playbook.program,
                vault=self.vault,
                now=self.now if now is None else now,
            )
        return found

    def slots(self, id: str, **more: Any) -> list[str]:
        """The slots in which they see something, best first."""
        return [it.kept.placement for it in self.seen(id, **more)]


def environ() -> dict[str, str]:
    """What makes an app open what the shop sealed."""
    return {"ANTIPHON_SECRET_KEY": SECRET}


def proof_of(user: str, directory: Path) -> str:
    """As the operator's own server makes it."""
    settings = read_settings(directory, environ=environ())
    assert link_key(settings).hex() != visitor_key(settings)
    key = visitor_key(settings).encode()
    return hmac.new(key, user.encode(), hashlib.sha256).hexdigest()
