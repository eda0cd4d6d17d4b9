"""Standard Webhooks: the vectors of the specification, and the reference library's signatures."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from channels.callbacks import Callback
from channels.standard_webhooks import check_signature, read_secret
from engine.core.errors import Forged
from engine.core.model.instants import SECOND
from tests.channels.recorded import vectors
from tests.channels.vendor_cases import NOW

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def test_every_vector_is_believed_or_refused_as_it_says() -> None:
    n_played = 0
    for case in vectors("standard_webhooks"):
        if not isinstance(case["secret"], str):
            continue  # the shape of v1a alone: its key was never published
        headers = {name.lower(): value for name, value in case["headers"].items()}
        callback = Callback("https://us.example/", headers, case["body"].encode())
        assert is_believed(callback, case["secret"], case["now"]) == case["expected"], case["name"]
        n_played += 1
    assert n_played == 14


def is_believed(callback: Callback, secret: str, seconds: int) -> bool:
    try:
        check_signature(callback, keys=[read_secret(secret)], now=seconds * SECOND)
    except (Forged, ValueError):
        return False
    return True


def signed(secret: str, body: str, *, names: str = "webhook") -> Callback:
    time = datetime.fromtimestamp(NOW // SECOND, UTC)
    return Callback(
        "https://us.example/",
        {
            f"{names}-id": "msg_1",
            f"{names}-timestamp": str(NOW // SECOND),
            f"{names}-signature": Webhook(secret).sign("msg_1", time, body),
        },
        body.encode(),
    )


@pytest.mark.parametrize("names", ["webhook", "svix"])
@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_secrets_change_both_are_believed(secret: str, names: str) -> None:
    keys = [read_secret(NEW), read_secret(OLD)]

    assert check_signature(signed(secret, '{"é": 1}', names=names), keys=keys, now=NOW) == "msg_1"


def test_a_secret_that_is_none_is_said_at_once_and_not_shown() -> None:
    for text in ("whsec_", "whsec_not/base64!", "é"):
        with pytest.raises(ValueError, match="the secret is whsec_ and base64"):
            read_secret(text)
