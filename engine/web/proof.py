"""The proof that a page speaks for a user: made on the operator's server, checked here."""

import hmac

from engine.settings import Settings, visitor_key


def is_proved(user: str, proof: str, settings: Settings) -> bool:
    """Whether this is the `userHash` of a user id: HMAC-SHA256 under `antiphon keys visitor`."""
    wanted = hmac.digest(
        visitor_key(settings).encode(), user.encode("utf-8", "surrogatepass"), "sha256"
    ).hex()
    return hmac.compare_digest(proof.lower().encode("utf-8", "surrogatepass"), wanted.encode())
