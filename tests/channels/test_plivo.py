"""Plivo's signatures, by its own vectors and by some made here; the rest is in the contract."""

from typing import Any

import pytest

from channels.callbacks import Callback
from channels.sms.plivo import Plivo, PlivoSettings, seal, spelled
from engine.core.errors import Forged, Unreadable
from tests.channels.recorded import vectors
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.sms_plivo import CASES, TOKEN, UUID, status

FORM = f"MessageUUID={UUID}&Status=delivered&To=4915112345678".encode()


def plivo(**settings: str) -> Plivo:
    given: dict[str, Any] = {"auth_id": "MA1", "auth_token": TOKEN, **settings}
    return Plivo(PlivoSettings(**given), senders=("+4915199999999",))


def test_its_own_vectors_hold() -> None:
    for case in vectors("plivo"):
        headers = {name.lower(): value for name, value in case["headers"].items()}
        body = (case["body"] or "").encode()
        callback = Callback(case["url"], headers, body, method=case.get("method", "POST"))
        # The vectors are of any callback: a signature that holds leaves the body to be read.
        expected = Unreadable if case["expected"] else Forged
        if "V2" in case["name"] and case["expected"]:
            expected = Forged  # and the message says that the token of our own is missing
        with pytest.raises(expected):
            plivo(auth_token=case["secret"]).read_callback(callback, now=NOW)


def test_the_third_signature_covers_the_body_and_needs_no_token_of_ours() -> None:
    callback = Callback("https://us.example/webhooks/sms?message=7", {}, FORM)
    headers = {
        "x-plivo-signature-v3": f"bm90dGhpc29uZQ==,{seal(spelled(callback) + '.77', TOKEN)}",
        "x-plivo-signature-v3-nonce": "77",
    }
    genuine = Callback(callback.url, headers, FORM)
    changed = Callback(callback.url, headers, FORM.replace(b"delivered", b"failed"))

    (event,) = plivo().read_callback(genuine, now=NOW).events

    assert (event.kind, event.message) == ("delivered", 7)
    with pytest.raises(Forged):
        plivo().read_callback(changed, now=NOW)


def test_the_second_signature_alone_is_not_believed() -> None:
    with pytest.raises(Forged, match="webhook_token"):
        plivo().read_callback(status("delivered"), now=NOW)


def test_the_token_before_is_believed_while_it_changes() -> None:
    rotated = plivo(
        auth_token="a-new-one", auth_token_old=TOKEN, webhook_token=CASES.settings["webhook_token"]
    )

    (event,) = rotated.read_callback(status("delivered"), now=NOW).events

    assert event.kind == "delivered"
