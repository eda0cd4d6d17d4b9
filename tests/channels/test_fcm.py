"""FCM over a real HTTP/2 connection, and the access token that it asks for first."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from msgspec import structs

from channels import open_provider
from channels.base import Accepted, NotSent, OutMessage, Receipt, RefusedBy, Throttled
from channels.calls import Answer, Call, Question
from channels.http_provider import HttpProvider
from channels.push.fcm import Fcm, FcmSettings
from channels.push.google_token import AccessToken, service_account
from engine.core.errors import UsageError
from engine.core.model.instants import HOUR, MINUTE, SECOND
from tests.channels.http2_peer import Message, make_certificate, serving
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.push_fcm import ACCOUNT, CASES, KEY, error

GONE = "goneGoneGoneGoneGoneGone"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("fcm"))


class Google:
    """Google's token endpoint and FCM: a message is taken only with a token it has given."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.pushed: list[dict[str, Any]] = []
        self.clients: set[Any] = set()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            got = await receive()
            body, more = body + got.get("body", b""), got.get("more_body", False)
        self.clients.add(scope["client"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, told = self._answer(scope["path"], headers, body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": told})

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if path == "/token":
            return self._token(body)
        if headers["authorization"].removeprefix("Bearer ") not in self.given:
            return 401, error(401, "UNAUTHENTICATED").body
        message = json.loads(body)["message"]
        self.pushed.append(message)
        if message.get("token") == GONE:
            return 404, error(404, "NOT_FOUND", "UNREGISTERED").body
        name = f"projects/a-project/messages/{len(self.pushed)}"
        return 200, json.dumps({"name": name}).encode()

    def _token(self, body: bytes) -> tuple[int, bytes]:
        form = parse_qs(body.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        claims = jwt.decode(
            form["assertion"][0],
            KEY.public_key(),
            algorithms=["RS256"],
            audience=ACCOUNT["token_uri"],
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims["iss"] == ACCOUNT["client_email"]
        assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        assert claims["exp"] - claims["iat"] == 3_600
        self.given.append(f"ya29.{len(self.given)}")
        told = {"access_token": self.given[-1], "expires_in": 3_599, "token_type": "Bearer"}
        return 200, json.dumps(told).encode()


def test_three_hundred_at_once_ask_for_one_token(certificate: tuple[str, str]) -> None:
    google = Google()

    async def run() -> list[Receipt]:
        async with serving(google, certificate) as url:
            provider = opened(url, certificate)
            try:
                messages = [structs.replace(CASES.message, id=number) for number in range(300)]
                return await asyncio.gather(*map(provider.deliver, messages))
            finally:
                await provider.close()

    receipts = asyncio.run(run())

    assert {type(each) for each in receipts} == {Accepted}
    assert len({each.provider_id for each in receipts if isinstance(each, Accepted)}) == 300
    assert (len(google.given), len(google.clients)) == (1, 1)


def opened(url: str, certificate: tuple[str, str]) -> HttpProvider:
    told = {
        **CASES.settings,
        "base_url": url,
        "token_url": f"{url}/token",
        "ca_file": certificate[0],
    }
    rng = random.Random(7)
    provider = open_provider(
        "push", "fcm", told, directory=Path("nowhere"), rng=rng, now=lambda: NOW
    )
    assert isinstance(provider, HttpProvider)
    return provider


def test_a_token_that_is_gone_is_the_persons_and_fid_is_a_field_of_its_own(
    certificate: tuple[str, str],
) -> None:
    google = Google()

    async def run() -> list[Receipt]:
        async with serving(google, certificate) as url:
            provider = opened(url, certificate)
            try:
                return [
                    await provider.deliver(structs.replace(CASES.message, to=address))
                    for address in (GONE, "fid:cAbCdEfGhIjKlMnOpQrStU")
                ]
            finally:
                await provider.close()

    gone, taken = asyncio.run(run())

    assert isinstance(gone, RefusedBy)
    assert (gone.scope, gone.code, gone.bounce) == ("recipient", "UNREGISTERED", "hard")
    assert isinstance(taken, Accepted)
    assert google.pushed[1]["fid"] == "cAbCdEfGhIjKlMnOpQrStU"
    assert "token" not in google.pushed[1]


# --- the access token ---------------------------------------------------------------------------


def vendor(**settings: Any) -> Fcm:
    told = FcmSettings(json.dumps(ACCOUNT), **settings)
    account = service_account(told.credentials, channel="push")
    return Fcm(told, AccessToken(account, url="", channel="push"), project="a-project")


def given(token: str, *, lasts: int = 3_599) -> Answer:
    return Answer(200, body=json.dumps({"access_token": token, "expires_in": lasts}).encode())


def asks(fcm: Fcm, *, now: int, answered: Answer | None = None) -> Call | Receipt | None:
    """What comes of a message; None: a question is open, unless an answer to it is given."""
    asked = fcm.call(CASES.message, now=now)
    if not isinstance(asked, Question):
        return asked
    if answered is None:
        return None
    found = asked.then(answered)
    assert not isinstance(found, Question)
    return found


def bearer(call: Call | Receipt | None) -> str:
    assert isinstance(call, Call), call
    return call.headers["Authorization"].removeprefix("Bearer ")


def test_a_token_is_renewed_five_minutes_before_its_end() -> None:
    fcm = vendor()
    assert bearer(asks(fcm, now=NOW, answered=given("first", lasts=3_600))) == "first"

    assert bearer(asks(fcm, now=NOW + 55 * MINUTE - SECOND)) == "first"
    assert asks(fcm, now=NOW + 55 * MINUTE) is None
    later = asks(fcm, now=NOW + 55 * MINUTE, answered=given("second"))
    assert bearer(later) == "second"


def test_a_token_that_cannot_be_renewed_serves_to_its_end() -> None:
    fcm = vendor()
    asks(fcm, now=NOW, answered=given("first", lasts=3_600))

    down = asks(fcm, now=NOW + 56 * MINUTE, answered=Answer(500))
    ended = asks(fcm, now=NOW + HOUR, answered=Answer(500))

    assert bearer(down) == "first"
    assert isinstance(ended, NotSent)


def test_after_a_refusal_nobody_asks_for_five_seconds() -> None:
    fcm = vendor()
    no = Answer(400, body=b'{"error":"invalid_grant","error_description":"Invalid JWT"}')

    refused = asks(fcm, now=NOW, answered=no)

    why = "Google gives no access token: Invalid JWT"
    assert refused == RefusedBy("config", "invalid_grant", why)
    assert asks(fcm, now=NOW + 4 * SECOND) == refused
    assert asks(fcm, now=NOW + 5 * SECOND) is None


def test_a_token_that_is_not_believed_is_dropped_once() -> None:
    fcm = vendor()
    asks(fcm, now=NOW, answered=given("first"))

    young = fcm.receipt(error(401, "UNAUTHENTICATED"), now=NOW + SECOND)
    kept = asks(fcm, now=NOW + SECOND)
    old = fcm.receipt(error(401, "UNAUTHENTICATED"), now=NOW + 2 * MINUTE)

    # A token of this second that is refused is no matter of its age: our rights are.
    assert isinstance(young, RefusedBy)
    assert young.scope == "config"
    assert bearer(kept) == "first"
    assert isinstance(old, Throttled)
    assert asks(fcm, now=NOW + 2 * MINUTE) is None


def test_a_file_without_certificates_is_told_when_the_channel_opens(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "absent.pem"):
        with pytest.raises(UsageError, match=r"channels\.push\.ca_file holds no certificates"):
            opened("https://127.0.0.1:1", (str(tmp_path / name), ""))


# --- settings and content -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credentials", "found"),
    [
        ("not json", "credentials is not the JSON of a service account"),
        ('{"client_email": "a@b.example"}', "credentials is not the JSON of a service account"),
        (json.dumps({**ACCOUNT, "private_key": "-----BEGIN nothing"}), "not a private RSA key"),
        (json.dumps({**ACCOUNT, "project_id": ""}), "project is missing"),
    ],
)
def test_credentials_that_are_none_are_refused_when_the_channel_opens(
    credentials: str, found: str
) -> None:
    with pytest.raises(UsageError, match=found):
        open_provider(
            "push",
            "fcm",
            {"credentials": credentials},
            directory=Path("nowhere"),
            rng=random.Random(7),
            now=lambda: NOW,
        )


def pushed(**data: Any) -> Any:
    fcm = vendor()
    asks(fcm, now=NOW, answered=given("a-token"))
    message = OutMessage(7, "push", CASES.message.to, data={"title": "T", **data})
    return fcm.call(message, now=NOW)


def test_names_that_google_keeps_are_refused_with_the_name() -> None:
    for name in ("from", "message_type", "google.x", "gcm_y"):
        receipt = pushed(data={name: "x"})
        assert isinstance(receipt, RefusedBy)
        assert receipt.scope == "message"
        assert name in receipt.text


def test_a_push_of_more_than_4096_bytes_is_not_sent() -> None:
    assert isinstance(pushed(body="x" * 3_900), Call)
    receipt = pushed(body="é" * 2_100)
    assert isinstance(receipt, RefusedBy)
    assert "4,096" in receipt.text


def test_only_https_links_become_the_browsers_link() -> None:
    web = json.loads(pushed(url="https://shop.example/a").body)["message"]
    app = json.loads(pushed(url="shop://cart").body)["message"]

    assert web["webpush"]["fcm_options"] == {"link": "https://shop.example/a"}
    assert "fcm_options" not in app["webpush"]
    assert app["data"]["url"] == "shop://cart"
