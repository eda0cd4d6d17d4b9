"""DKIM: a domain signs its mail, so that mailbox providers know it by its own name.

Pure. For mail that we hand to a server which does not sign; the vendors do it themselves. Our own
rather than dkimpy, whose RSA in Python takes 7 ms a message; tests verify with dkimpy.
Source: RFC 6376, relaxed/relaxed; RFC 8301 (rsa-sha256, 1,024 bits or more).
"""

import hashlib
import re
from base64 import b64encode
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from engine.core.model.instants import SECOND, Instant

SIGNED: Final = (
    b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"mime-version",
    b"content-type", b"list-id", b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id",
)  # fmt: skip
"""RFC 8058 asks for the two List-Unsubscribe headers, Google for Feedback-ID."""


_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class DkimSigner:
    """Signs for one selector of one domain.

    Args:
        pem: The private key, RSA of 1,024 bits or more, without a password.
    Raises:
        ValueError: It is no such key, or a name is none. The message does not hold the key.
    """

    def __init__(self, *, domain: str, selector: str, pem: bytes) -> None:
        if not _NAME.fullmatch(domain) or not _NAME.fullmatch(selector):
            raise ValueError("the DKIM domain and selector are host names, IDN as xn--…")
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            raise ValueError("the DKIM key is no unencrypted PEM private key") from None
        if not isinstance(key, RSAPrivateKey) or key.key_size < 1024:
            raise ValueError("the DKIM key is not RSA of 1,024 bits or more")
        self._key = key
        self._domain = domain.encode()
        self._selector = selector.encode()

    def signed(self, raw: bytes, *, at: Instant) -> bytes:
        """The mail with its DKIM-Signature in front; `raw` has CRLF line ends."""
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = [_relaxed(line) for line in re.split(rb"\r\n(?![ \t])", head)]
        present = {name for name, _ in fields}
        names = [name for name in SIGNED if name in present]
        digest = b64encode(hashlib.sha256(relaxed_body(body)).digest())
        # From stands twice in h=: a second one added on the way would break the signature.
        unsigned = (
            b"v=1; a=rsa-sha256; c=relaxed/relaxed; d=%b; s=%b; t=%d;\r\n"
            b"\th=%b;\r\n\tbh=%b;\r\n\tb="
            % (self._domain, self._selector, at // SECOND, b":".join([b"from", *names]), digest)
        )
        # Each name takes the last header of that name; ours appear once.
        values = dict(fields)
        told = b"".join(b"%b:%b\r\n" % (name, values[name]) for name in names)
        told += b"%b:%b" % _relaxed(b"DKIM-Signature: " + unsigned)
        signature = b64encode(self._key.sign(told, PKCS1v15(), SHA256()))
        folded = b"\r\n\t".join(signature[at : at + 72] for at in range(0, len(signature), 72))
        return b"DKIM-Signature: " + unsigned + folded + b"\r\n" + raw


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376, 3.4.4: runs of blanks as one, none at line ends, no empty lines at the end."""
    text = re.sub(rb"[ \t]+", b" ", body).replace(b" \r\n", b"\r\n").removesuffix(b" ")
    text = re.sub(rb"(\r\n)+\Z", b"", text)
    return text + b"\r\n" if text else b""


def _relaxed(line: bytes) -> tuple[bytes, bytes]:
    """RFC 6376, 3.4.2: the name in lower case, the value unfolded and its blanks reduced."""
    name, _, value = line.partition(b":")
    unfolded = value.replace(b"\r\n", b"")
    return name.strip().lower(), re.sub(rb"[ \t]+", b" ", unfolded).strip()
