"""Reads a request's body under a limit that holds before anything is parsed or unpacked."""

import zlib
from typing import Final

from starlette.requests import Request
from starlette.types import Receive

from engine.web.problem import Refusal

GZIP: Final = 16 + zlib.MAX_WBITS


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The body, unpacked when it came as gzip.

    Raises:
        Refusal: As `receive_body`.
    """
    headers = request.headers
    return await receive_body(
        request.receive,
        length=headers.get("content-length", "").encode(),
        encoding=headers.get("content-encoding", "").encode(),
        bytes_max=bytes_max,
    )


async def receive_body(
    receive: Receive, *, length: bytes, encoding: bytes, bytes_max: int
) -> bytes:
    """The body, straight from the server, unpacked when it came as gzip.

    Args:
        length, encoding: The headers Content-Length and Content-Encoding, b"" where absent.
    Raises:
        Refusal: 413 as soon as the size is known to be over the limit, 400 for a client that goes
            away or broken gzip, 415 for another encoding.
    """
    if length.isdigit() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "disconnected", "The connection was closed before the body ended.")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        more = message.get("more_body", False)
    if not encoding or encoding == b"identity":
        return body
    if encoding.strip().lower() not in (b"gzip", b"x-gzip"):
        found = encoding.decode("latin-1")[:40]
        raise Refusal(
            415, "encoding", f"Content-Encoding: found {found!r}, allowed are gzip and identity."
        )
    return unpack(body, bytes_max=bytes_max)


def unpack(body: bytes, *, bytes_max: int) -> bytes:
    """Gunzip without ever holding more than the limit: a bomb is found out by its first excess."""
    inflate = zlib.decompressobj(GZIP)
    try:
        plain = inflate.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise Refusal(400, "gzip", f"The body is not gzip: {error}.") from None
    if len(plain) > bytes_max:
        raise _too_large(bytes_max)
    if not inflate.eof:
        raise Refusal(400, "gzip", "The gzip body ends too early; send it again whole.")
    return plain


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(
        413,
        "too_large",
        f"The body is larger than {bytes_max:,} bytes. Send fewer events in one request.",
    )
