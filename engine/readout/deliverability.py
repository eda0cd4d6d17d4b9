"""How many messages reached people, by day, channel, provider, campaign and recipient domain.

Read where it is written down, attempts and verified reports: nothing is counted twice, and what is
reported late still counts for the day the message went out. Domains are those that many share, or
`other`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from engine.core.model.instants import DAY, NEVER, Instant
from engine.store.connection import Connection
from engine.store.queue import WEBHOOK

DIMENSIONS: Final[Mapping[str, str]] = {
    "day": f"a.started_at / {DAY}",
    "channel": "a.account",
    "provider": "a.provider",
    "campaign": "m.campaign",
    "domain": "a.domain",
}
"""What the figures can be split by."""

# A failure that names no class counts as soft: it is tried again before an address is given up.
_BOUNCE: Final = (
    "CASE WHEN a.bounce <> '' THEN a.bounce WHEN d.status IN "
    "('bounced', 'undelivered', 'rejected', 'failed', 'complained') THEN "
    "(SELECT CASE min(CASE e.bounce WHEN 'hard' THEN 1 WHEN 'block' THEN 2 WHEN 'message' THEN 3 "
    "ELSE 4 END) WHEN 1 THEN 'hard' WHEN 2 THEN 'block' WHEN 3 THEN 'message' WHEN 4 THEN 'soft' "
    "ELSE '' END FROM delivery_event e WHERE e.message_id = m.id "
    "AND e.kind IN ('bounced', 'undelivered', 'rejected', 'failed')) ELSE '' END"
)
_ANSWERED: Final = "(a.outcome = 'accepted' OR a.bounce <> '')"
"""Of an attempt: a provider took the message, or refused it for what it knew of the address."""
_SUMS: Final = (
    "count(*), "
    "sum(CASE WHEN status IN ('delivered', 'displayed', 'dismissed', 'opened', 'clicked', "
    "'complained', 'unsubscribed') AND bounce = '' THEN 1 ELSE 0 END), "
    "sum(CASE WHEN bounce = 'hard' THEN 1 ELSE 0 END), "
    "sum(CASE WHEN bounce IN ('soft', 'undetermined') THEN 1 ELSE 0 END), "
    "sum(CASE WHEN bounce IN ('block', 'message') THEN 1 ELSE 0 END), "
    "sum(CASE WHEN status = 'complained' THEN 1 ELSE 0 END), "
    "sum(CASE WHEN opened_at IS NOT NULL THEN 1 ELSE 0 END), "
    "sum(CASE WHEN clicked_at IS NOT NULL THEN 1 ELSE 0 END)"
)


class Figures(Struct, frozen=True):
    """Messages of one cell. `sent` were handed to a provider; of these the others.

    Opened and clicked are people's: scanners and privacy relays are not counted.
    """

    sent: int = 0
    delivered: int = 0
    hard_bounces: int = 0
    soft_bounces: int = 0
    blocked: int = 0
    complained: int = 0
    opened: int = 0
    clicked: int = 0

    def plus(self, other: "Figures") -> "Figures":
        """Two cells as one."""
        names = self.__struct_fields__
        return Figures(*(getattr(self, name) + getattr(other, name) for name in names))

    def share(self, name: str) -> float:
        """A figure as a share of what was sent, in [0, 1]; 0 where nothing was."""
        return float(getattr(self, name)) / self.sent if self.sent else 0.0


class Cell(Struct, frozen=True):
    """Figures of one combination; `by` has a text for each dimension asked for."""

    figures: Figures
    by: Mapping[str, str] = field(default_factory=dict)


def deliverability(
    connection: Connection,
    *,
    by: Sequence[str],
    since: Instant,
    until: Instant = NEVER,
    campaign: str | None = None,
) -> list[Cell]:
    """The figures of messages that went out in [since, until), most sent first, days in order.

    Args:
        by: Names of DIMENSIONS; days are counted in UTC.
    """
    keys = ", ".join(f"{DIMENSIONS[name]} AS k{n}" for n, name in enumerate(by))
    names = ", ".join(f"k{n}" for n in range(len(by)))
    only = "" if campaign is None else " AND m.campaign = ?"
    found: dict[tuple[str, ...], Figures] = {}
    for account in accounts(connection):
        rows = connection.execute(
            f"SELECT {names + ', ' if by else ''}{_SUMS} FROM (SELECT {keys + ', ' if by else ''}"
            f"d.status AS status, d.opened_at AS opened_at, d.clicked_at AS clicked_at, "
            f"{_BOUNCE} AS bounce FROM attempt a JOIN message m ON m.id = a.message_id "
            f"LEFT JOIN delivery d ON d.message_id = m.id WHERE a.account = ? "
            f"AND a.started_at >= ? AND a.started_at < ? AND {_ANSWERED}{only}) answered"
            + (f" GROUP BY {names}" if by else ""),
            (account, since, until, *(() if campaign is None else (campaign,))),
        )
        for row in rows:
            key = tuple(_shown(name, value) for name, value in zip(by, row, strict=False))
            figures = Figures(*(int(value or 0) for value in row[len(by) :]))
            if figures.sent:
                found[key] = found.get(key, Figures()).plus(figures)
    return _sorted(found, by)


def folded(cells: Sequence[Cell], by: Sequence[str]) -> list[Cell]:
    """The same figures split by fewer dimensions: one reading serves several tables."""
    found: dict[tuple[str, ...], Figures] = {}
    for each in cells:
        key = tuple(each.by[name] for name in by)
        found[key] = found.get(key, Figures()).plus(each.figures)
    return _sorted(found, by)


def n_sent(connection: Connection, campaign: str, *, since: Instant) -> int:
    """How many messages of a campaign were handed to a provider since an instant."""
    return sum(
        int(
            connection.execute(
                "SELECT count(*) FROM attempt a JOIN message m ON m.id = a.message_id "
                f"WHERE a.account = ? AND a.started_at >= ? AND m.campaign = ? AND {_ANSWERED}",
                (account, since, campaign),
            )[0][0]
        )
        for account in accounts(connection)
    )


def accounts(connection: Connection) -> Iterator[str]:
    """Every channel that was called, one step in the index each."""
    account = ""
    while rows := connection.execute(
        "SELECT account FROM attempt WHERE account > ? ORDER BY account LIMIT 1", (account,)
    ):
        account = str(rows[0][0])
        if account != WEBHOOK:
            yield account


def _sorted(found: Mapping[tuple[str, ...], Figures], by: Sequence[str]) -> list[Cell]:
    cells = [Cell(figures, dict(zip(by, key, strict=True))) for key, figures in found.items()]
    cells.sort(key=lambda it: (-it.figures.sent, *it.by.values()))
    return sorted(cells, key=lambda it: it.by["day"]) if "day" in by else cells


def _shown(name: str, value: object) -> str:
    from engine.core.clocktime import iso

    if name == "day":
        assert isinstance(value, int)
        return iso(value * DAY)[:10]
    return str(value) or "-"
