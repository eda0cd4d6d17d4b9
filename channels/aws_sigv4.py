"""Signature Version 4: how a call to AWS proves who makes it.

Pure. For every service but S3, whose paths are written otherwise.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Struct

from channels.calls import Call
from engine.core.model.instants import SECOND, Instant

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class AwsKeys(Struct, frozen=True):
    """What AWS gave an account or a role; a role's keys come with a `session_token`."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"AwsKeys({self.access_key_id})"


def signed(call: Call, *, keys: AwsKeys, region: str, service: str, now: Instant) -> Call:
    """The call with its `X-Amz-Date`, its session token and its `Authorization`.

    All of its headers are signed, with the host of its URL: send no other `Host`. A signature
    is taken for 5 minutes either way of `now`.
    """
    at = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**call.headers, "X-Amz-Date": at}
    if keys.session_token:
        headers["X-Amz-Security-Token"] = keys.session_token
    named = [("Host", urlsplit(call.url).netloc), *headers.items()]
    request, names = canonical_request(call.method, call.url, headers=named, body=call.body)
    headers["Authorization"] = authorization(
        request, names=names, at=at, keys=keys, region=region, service=service
    )
    return msgspec.structs.replace(call, headers=headers)


def canonical_request(
    method: str, url: str, *, headers: Sequence[tuple[str, str]], body: bytes
) -> tuple[str, str]:
    """The text that is signed, and the names of the headers in it."""
    parts = urlsplit(url)
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(" ".join(value.split()))
    names = ";".join(sorted(values))
    lines = [
        method,
        quote(_normal_path(parts.path), safe="/~"),
        _canonical_query(parts.query),
        *(f"{name}:{','.join(values[name])}" for name in sorted(values)),
        "",
        names,
        hashlib.sha256(body).hexdigest(),
    ]
    return "\n".join(lines), names


def string_to_sign(request: str, *, at: str, scope: str) -> str:
    """What the key signs in the end: a digest of the request, bound to a second and a scope."""
    return "\n".join([ALGORITHM, at, scope, hashlib.sha256(request.encode()).hexdigest()])


def authorization(
    request: str, *, names: str, at: str, keys: AwsKeys, region: str, service: str
) -> str:
    """The `Authorization` header of a canonical request; `at` as 20150830T123600Z."""
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    key = b"AWS4" + keys.secret_access_key.encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, string_to_sign(request, at=at, scope=scope).encode(), "sha256")
    return (
        f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, "
        f"Signature={signature.hex()}"
    )


def _normal_path(path: str) -> str:
    """Without empty, "." and ".." segments; a closing slash stays."""
    kept: list[str] = []
    for word in path.split("/"):
        if word == "..":
            kept = kept[:-1]
        elif word not in ("", "."):
            kept.append(word)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _canonical_query(query: str) -> str:
    pairs = (part.partition("=") for part in query.split("&") if part)
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="~")
