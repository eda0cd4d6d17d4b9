"""Who we are in the mail we send: the same few settings, whichever provider carries it."""

import msgspec
from msgspec import Struct

from channels.base import Channel
from channels.email.headers import Refusal, Sender, mailbox_of
from engine.core.errors import UsageError


class EmailSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every provider of e-mail may be told.

    Args:
        from_: `Shop <hello@shop.example>`, where the template names no sender.
        reply_to: Where answers go, where the template does not say.
        domain: Right-hand side of Message-ID and List-Id; "": that of `from`.
        list_id: List-Id of marketing mail; "": the topic and the domain.
        feedback: SenderId of Feedback-ID, 5 to 15 characters and always the same; "" omits it.
        unsubscribe_mailbox: Address for the mailto form of List-Unsubscribe; "" omits it.
    """

    from_: str = msgspec.field(default="", name="from")
    reply_to: str = ""
    domain: str = ""
    list_id: str = ""
    feedback: str = ""
    unsubscribe_mailbox: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # there are secrets in it


def sender_of(settings: EmailSettings, *, channel: Channel) -> Sender:
    """The sender that the settings describe.

    Raises:
        UsageError: Naming the setting that cannot stand in a header.
    """
    for name in ("domain", "list_id", "feedback", "unsubscribe_mailbox", "from_", "reply_to"):
        if not getattr(settings, name).isprintable():
            raise UsageError(f"channels.{channel}.{name.rstrip('_')} holds a control character")
    if settings.feedback and not 5 <= len(settings.feedback) <= 15:
        raise UsageError(f"channels.{channel}.feedback has 5 to 15 characters")
    domain = settings.domain
    if not domain and settings.from_:
        try:
            domain = mailbox_of(settings.from_).address.partition("@")[2]
        except Refusal as error:
            raise UsageError(f"channels.{channel}.from: {error}") from None
    return Sender(
        domain=domain or "localhost.localdomain",
        from_=settings.from_,
        reply_to=settings.reply_to,
        list_id=settings.list_id,
        feedback=settings.feedback,
        unsubscribe_mailbox=settings.unsubscribe_mailbox,
    )
