"""Reads a request's body under a limit that holds before anything is parsed or unpacked."""

import zlib
from typing import Final

from starlette.requests import Request

from engine.web.problem import Refusal

GZIP: Final = 16 + zlib.MAX_WBITS


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The body, unpacked when it came as gzip.

    Raises:
        Refusal: 413 as soon as the size is known to be over the limit, 400 for broken gzip, 415
            for another encoding.
    """
    headers = request.headers
    length = headers.get("content-length")
    if length is not None and length.isdigit() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise _too_large(bytes_max)
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    encoding = headers.get("content-encoding")
    if encoding is None or encoding == "identity":
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise Refusal(
            415, "encoding", f"Content-Encoding: found {encoding!r}, allowed are gzip and identity."
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
