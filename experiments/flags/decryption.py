"""Opens a payload that was encrypted for a client: AES-128 in CBC, as GrowthBook does it."""

import binascii
from base64 import b64decode

from experiments.errors import DataError


def decrypt(text: str, key: str) -> str:
    """The JSON inside an `encrypted…` section.

    Args:
        text: "initialisation vector.ciphertext", both in base64.
        key: 16 bytes in base64.
    Raises:
        DataError: If the key is another one, or either is malformed.
    """
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    try:
        start, sealed = (b64decode(part, validate=True) for part in text.split("."))
        cipher = Cipher(algorithms.AES128(b64decode(key, validate=True)), modes.CBC(start))
        opening, unpadding = cipher.decryptor(), padding.PKCS7(128).unpadder()
        padded = opening.update(sealed) + opening.finalize()
        return (unpadding.update(padded) + unpadding.finalize()).decode()
    except (ValueError, binascii.Error) as error:
        raise DataError(
            "the encrypted section cannot be opened: wrong key, or not two base64 parts"
            f" with a dot between ({error})"
        ) from None
