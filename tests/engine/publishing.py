"""A stage that plays files: applied as `antiphon apply` does, and read back from the database."""

from pathlib import Path
from typing import Any

from campaigns.load import load_bundle
from engine.core.model.instants import Instant
from engine.release import operating, releases
from engine.release.live import load_playbook
from engine.release.operating import Done, Order
from engine.release.planning import Plan, plan
from engine.release.publish import apply_files
from engine.release.rolling_back import roll_back
from engine.release.words import rendered
from tests.rig.stage import NOON, Stage

SETTINGS = """zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
channels: {email: {provider: sandbox, from: shop@example.com}, sms: {provider: sandbox}}
traits: {email: {type: email, pii: true}, phone: {type: phone, pii: true}, plan: {type: string}}
"""
CART = """campaign: cart
trigger: {event: Product Added, key: properties.cart}
reentry: {when: after_exit}
topic: offers
journey:
  - delay: 30m
    id: settle
  - wait_for: {event: Product Viewed, timeout: 2h}
    id: waiting
  - send: {channel: email, template: soft}
    id: remind
"""
FILES = {
    "antiphon.yaml": SETTINGS,
    "campaigns/cart.yaml": CART,
    "templates/email/soft.txt": "---\nsubject: Your cart\n---\nIt waits. {{ unsubscribe_url }}\n",
}


def with_cart(*edits: tuple[str, str], **more: str) -> dict[str, str]:
    """The workspace with its campaign edited; `more` are other files, `/` written `__`."""
    text = CART
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    others = {name.replace("__", "/") + ".yaml": each for name, each in more.items()}
    return {**FILES, "campaigns/cart.yaml": text, **others}


class Published(Stage):
    """A stage whose process plays what was applied to its database."""

    def __init__(self, url: str, *, now: Instant = NOON) -> None:
        super().__init__(url, now=now)
        self.apply(FILES)

    def restart(self) -> None:
        super().restart()
        self.reload()

    def reload(self) -> None:
        playbook = load_playbook(self.process.database, vault=self.process.vault, environ={})
        assert playbook is not None
        self.process.playbook = playbook

    def apply(self, files: dict[str, str], *, shown: str | None = None) -> dict[str, Any]:
        done = apply_files(
            self.process.database,
            {"files": files, "plan": shown},
            write=self.process.write,
            now=lambda: self.now,
            blind=self.process.vault.mark,
        )
        self.reload()
        return done

    def plan(self, files: dict[str, str]) -> Plan:
        workspace = load_bundle({name: it.encode() for name, it in files.items()}, environ={})
        with self.process.database.read() as connection:
            return plan(connection, workspace, now=self.now, blind=self.process.vault.mark)

    def words(self, files: dict[str, str]) -> str:
        return rendered(self.plan(files))

    def roll_back(self, to: int | None = None) -> dict[str, Any]:
        done = roll_back(
            self.process.database,
            to,
            write=self.process.write,
            now=lambda: self.now,
            environ={},
        )
        self.reload()
        return done

    def order(self, action: Any, campaign: str = "cart", **about: Any) -> Done:
        with self.process.database.read() as connection:
            live = releases.live(connection)
            assert live is not None
            workspace = releases.workspace_of(connection, live.digest)
        done: Done = self.process.write(
            lambda connection: operating.carry_out(
                connection,
                Order(action, campaign, **about),
                workspace=workspace,
                now=self.now,
            )
        )
        self.reload()
        return done

    def carts(self, n: int, *, first: int = 1) -> None:
        """People who each put something into a cart, and stand at the first step."""
        for number in range(first, first + n):
            self.identify(f"u{number}")
            self.track(f"u{number}", "Product Added", cart=f"c{number}")
        self.settle()

    def standing(self) -> list[Any]:
        """(version, step, how many) of everyone inside."""
        return self.rows(
            "SELECT version, step, count(*) FROM enrollment WHERE status = 'active' "
            "GROUP BY version, step ORDER BY version, step"
        )

    @property
    def version(self) -> str:
        return self.process.playbook.program.campaigns["cart"].version


def written(folder: Path, files: dict[str, str]) -> Path:
    """The files as a folder, for commands."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder
