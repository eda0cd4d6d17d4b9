"""What the cases of every vendor of e-mail have in common."""

from typing import Any, Final

from channels.base import OutMessage

FROM: Final = "Läden & Söhne <hello@shop.example>"
MESSAGE: Final = OutMessage(
    7,
    "email",
    "ada@example.com",
    subject="Grüße für Zoë 🎻",
    html='<p>Schöne Grüße, <a href="https://shop.example/?a=1&amp;b=2">Ωmega</a> 🎻</p>',
    text="Schöne Grüße, Ωmega 🎻\n",
    headers={"X-Season": "Frühling"},
    from_=FROM,
    reply_to="Hilfe, bitte – Zoë <help@shop.example>",
    campaign="win_back",
    topic="offers",
    idempotency_key="5b0dd4a8-2f6e-5c0e-9f5e-3a1f5f0f2b11",
    unsubscribe_url="https://u.example/u/AQIBAAAAAAAAAHsABAbDT73T4sVv2AvRvUmJZlI",
    metadata={"message": "7", "campaign": "win_back", "step": "remind"},
)
SENDER: Final[dict[str, Any]] = {
    "from": "Shop <hello@shop.example>",
    "domain": "mail.shop.example",
    "feedback": "shopmail",
    "unsubscribe_mailbox": "stop@shop.example",
}
"""The settings that describe us."""
HEADERS: Final = {
    "List-Unsubscribe": f"<{MESSAGE.unsubscribe_url}>, "
    "<mailto:stop@shop.example?subject=unsubscribe>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "List-Id": "<offers.mail.shop.example>",
    "Feedback-ID": "win-back:offers:marketing:shopmail",
    "X-Season": "Frühling",
}
"""What must stand in MESSAGE from this sender, unencoded."""
