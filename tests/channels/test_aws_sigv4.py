"""Signature Version 4 against AWS' own test suite, and against botocore where no file is needed."""

from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from channels.aws_sigv4 import AwsKeys, authorization, canonical_request, signed, string_to_sign
from channels.calls import Call
from tests.channels.recorded import vectors

KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = 1_440_938_160_000_000  # 2015-08-30T12:36:00Z


def test_every_vector_of_the_official_suite_is_signed_as_it_says() -> None:
    n_played = 0
    for case in vectors("aws_sigv4"):
        if "request" not in case:
            continue  # the one made with botocore: played below
        head, _, body = case["request"].partition("\n\n")
        first, *lines = head.replace("\n ", " ").strip().split("\n")
        method, _, rest = first.partition(" ")
        headers = [(line.partition(":")[0], line.partition(":")[2]) for line in lines]
        if "session-token" in case["name"]:
            token = case["canonical_request"].split("x-amz-security-token:")[1].split("\n")[0]
            headers.append(("X-Amz-Security-Token", token))

        request, names = canonical_request(
            method,
            "https://example.amazonaws.com" + rest.removesuffix(" HTTP/1.1"),
            headers=headers,
            body=body.encode(),
        )

        scope = f"20150830/{case['region']}/{case['service']}/aws4_request"
        assert request == case["canonical_request"], case["name"]
        assert string_to_sign(request, at=case["date"], scope=scope) == case["string_to_sign"]
        assert case["authorization"] == authorization(
            request,
            names=names,
            at=case["date"],
            keys=KEYS,
            region=case["region"],
            service=case["service"],
        )
        n_played += 1
    assert n_played == 34


@pytest.mark.parametrize("token", ["", "a/session+token=="])
@pytest.mark.parametrize("url", [
    "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails",
    "https://sms-voice.eu-west-1.amazonaws.com/",
    "http://127.0.0.1:5055/v2/email/a%20b/?b=2&a=%C3%A9&a=1",
])  # fmt: skip
def test_a_call_bears_the_signature_that_botocore_would_give_it(
    url: str, token: str, time_machine: Any
) -> None:
    time_machine.move_to("2015-08-30T12:36:00Z", tick=False)
    keys = AwsKeys(KEYS.access_key_id, KEYS.secret_access_key, token)
    call = Call(url, headers={"Content-Type": "application/json"}, body='{"a": "é"}'.encode())
    theirs = AWSRequest("POST", url, headers=dict(call.headers), data=call.body)

    ours = signed(call, keys=keys, region="eu-west-1", service="ses", now=AT)

    credentials = Credentials(keys.access_key_id, keys.secret_access_key, token or None)
    SigV4Auth(credentials, "ses", "eu-west-1").add_auth(theirs)
    assert ours.headers["Authorization"] == theirs.headers["Authorization"]
    assert ours.headers["X-Amz-Date"] == "20150830T123600Z"
    assert ours.headers.get("X-Amz-Security-Token", "") == token
    assert "Host" not in ours.headers  # the client writes it, from the URL that was signed
    assert ours.url == url


def test_the_secret_is_in_no_repr() -> None:
    keys = AwsKeys("AKIDEXAMPLE", "very-secret", "also-secret")

    shown = f"{keys} {keys!r}"

    assert "secret" not in shown
