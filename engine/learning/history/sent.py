"""What was sent to people, as providers accepted it before an instant.

    sent(message, profile_id, happened)

The ledger is read, not the log: "Message Sent" is only written where something asks for it.
Messages keep the id of a profile that was merged; `merged` leads on. A webhook's call
reaches nobody.
"""

from typing import TYPE_CHECKING, Final

from engine.learning.history.known import Known
from engine.learning.history.people import pages
from engine.store.connection import Connection
from engine.store.queue import WEBHOOK

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

_ACCEPTED: Final = (
    "SELECT a.message_id, min(m.profile_id), min(a.finished_at) FROM attempt a "
    "JOIN message m ON m.id = a.message_id "
    "WHERE a.outcome = 'accepted' AND a.finished_at < ? AND m.channel <> ? AND a.message_id > ? "
    "GROUP BY a.message_id ORDER BY a.message_id LIMIT ?"
)


def pour_sent(connection: Connection, lake: "Lake", known: Known) -> None:
    """Fill `sent`; known is what was accepted before both of its instants."""
    lake.duck.execute("CREATE TABLE accepted (message BIGINT, profile_id BIGINT, happened BIGINT)")
    before = min(known.as_of, known.told_by)
    for rows in pages(connection, _ACCEPTED, (before, WEBHOOK)):
        lake.append("accepted", rows)
    lake.duck.execute(
        "CREATE TABLE sent AS SELECT message, coalesce(winner, profile_id) AS profile_id, happened "
        "FROM accepted LEFT JOIN merged USING (profile_id)"
    )
