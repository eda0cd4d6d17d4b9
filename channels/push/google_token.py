"""Google's access token: our service account signs for it, and it serves for an hour.

Pure: it says what to ask and remembers what was answered.
https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from typing import Final
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from channels.base import Channel, NotSent, Receipt, RefusedBy
from channels.calls import Answer, Call
from channels.push.address import mask_tokens
from channels.push.provider_token import rsa_key, signed
from engine.core.errors import UsageError
from engine.core.model.instants import HOUR, MINUTE, SECOND, Instant

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"
RENEW_BEFORE: Final = 5 * MINUTE
ASK_AGAIN: Final = 5 * SECOND
"""After a token was refused nobody asks for so long: messages wait, and do not queue for it."""


class ServiceAccount(Struct, frozen=True):
    """The JSON file of a service account, as far as we need it."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    project_id: str = ""
    token_uri: str = TOKEN_URL

    def __repr__(self) -> str:
        return "ServiceAccount(…)"  # there are secrets in it


def service_account(text: str, *, channel: Channel) -> ServiceAccount:
    """Read the file's text.

    Raises:
        UsageError: It is no such file; nothing of it stands in the error.
    """
    try:
        return msgspec.json.decode(text.encode(), type=ServiceAccount)
    except msgspec.DecodeError:
        raise UsageError(
            f"channels.{channel}.credentials is not the JSON of a service account "
            "(client_email, private_key, project_id). Write credentials: ${file:PATH}"
        ) from None


class AccessToken:
    """The token of one account.

    Args:
        url: Where to ask; "" is where the account's file says.
    """

    def __init__(self, account: ServiceAccount, *, url: str, channel: Channel) -> None:
        self._account = account
        self._key: RSAPrivateKey = rsa_key(
            account.private_key, setting="credentials.private_key", channel=channel
        )
        self._url = url or account.token_uri
        self._token = ""
        self._since: Instant = 0
        self._until: Instant = 0
        self._refusal: Receipt | None = None
        self._refused_at: Instant = 0

    def held(self, *, now: Instant) -> str | Receipt | None:
        """The token, or why there is none and nobody should ask yet; None: ask."""
        if self._token and now < self._until - RENEW_BEFORE:
            return self._token
        if self._refusal is not None and 0 <= now - self._refused_at < ASK_AGAIN:
            # A token that was to be renewed still serves to its end.
            return self._token if self._token and now < self._until else self._refusal
        return None

    def question(self, *, now: Instant) -> Call:
        """What to ask Google."""
        seconds = now // SECOND
        claims = {
            "iss": self._account.client_email,
            "scope": SCOPE,
            "aud": self._account.token_uri,
            "iat": seconds,
            "exp": seconds + HOUR // SECOND,
        }
        assertion = signed(claims, self._key, key_id=self._account.private_key_id)
        form = urlencode({"grant_type": GRANT, "assertion": assertion})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Call(self._url, headers=headers, body=form.encode())

    def take(self, answer: Answer | None, *, now: Instant) -> str | Receipt:
        """Remember Google's answer: the token, or why there is none."""
        told = answer.json() if answer is not None else {}
        token, lasts = told.get("access_token"), told.get("expires_in")
        if answer is not None and answer.is_ok and isinstance(token, str) and token:
            seconds = lasts if isinstance(lasts, int) and 0 < lasts <= 86_400 else 3_600
            self._token, self._since, self._until = token, now, now + seconds * SECOND
            self._refusal = None
            return token
        self._refusal, self._refused_at = _refusal(answer, told), now
        return self._token if self._token and now < self._until else self._refusal

    def drop(self, *, now: Instant) -> bool:
        """Forget a token that was not believed; False if it is too new for a newer one to help."""
        is_old = now - self._since > MINUTE
        if is_old:
            self._token = ""
        return is_old


def _refusal(answer: Answer | None, told: dict[str, object]) -> Receipt:
    if answer is None:
        return NotSent("no answer to our question for an access token")
    if answer.status in (400, 401, 403):
        # invalid_grant: the key was withdrawn, or this machine's clock is wrong.
        code = mask_tokens(str(told.get("error", "")))[:60] or f"http {answer.status}"
        text = mask_tokens(str(told.get("error_description", "")))
        return RefusedBy("config", code, f"Google gives no access token: {text}")
    return NotSent(f"Google answered {answer.status} to our question for an access token")
