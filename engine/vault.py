"""Personal data at rest: sealed under a key per profile, found again by keyed hash, masked in logs.

One secret makes everything: HKDF derives from it the key that wraps data keys, and the keys of the
blind index and the address hash. Secrets are versioned, so a new one can come in while old data
keys still open. Erasing a person is forgetting their data key: every copy of what it sealed, in
events, profiles and backups, turns to noise. Entropy is injected; nothing here reads a clock or a
file.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from channels.addresses import canonical_email
from engine.core.errors import StoreError

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
SECRET_CHARACTERS_MIN: Final = 16
PRESENT_FORM: Final = 2
"""Of addresses before they are hashed; `engine.address_form` brings older hashes up to it."""

_EMAIL: Final = re.compile(r"([^@\s])[^@\s]*@([^@\s])[^@\s]*(\.[^@.\s]+)")


class DataKey(msgspec.Struct, frozen=True):
    """An unwrapped data key and the profile it was made for. Never stored, never logged."""

    profile_id: int
    secret: bytes

    def __repr__(self) -> str:
        return f"DataKey(profile_id={self.profile_id})"


class Vault:
    """Seals, opens, hashes and masks.

    Args:
        secrets: Version to secret text. The highest version wraps new data keys; all others only
            open. The lowest makes the hashes, which must stay what they were.
        entropy: Gives that many random bytes (`secrets.token_bytes`).
    Raises:
        StoreError: If a secret is too short to protect anything.
    """

    def __init__(self, secrets: Mapping[int, str], *, entropy: Callable[[int], bytes]) -> None:
        if not secrets or any(len(text) < SECRET_CHARACTERS_MIN for text in secrets.values()):
            raise StoreError(
                f"ANTIPHON_SECRET_KEY needs at least {SECRET_CHARACTERS_MIN} characters"
            )
        self._entropy = entropy
        self._newest = max(secrets)
        self._wrapping = {
            version: AESGCM(_derived(text, b"wrap")) for version, text in secrets.items()
        }
        oldest = secrets[min(secrets)]
        self._blind_key = _derived(oldest, b"blind")
        self._address_key = _derived(oldest, b"address")
        self._check_key = _derived(oldest, b"check")

    @property
    def key_check(self) -> str:
        """A text to store beside the data: another secret gives another one."""
        return hmac.digest(self._check_key, b"antiphon", "sha256").hex()[:32]

    def new_data_key(self, profile_id: int) -> tuple[DataKey, bytes]:
        """A fresh data key for a profile, and its wrapped form, which alone may be stored."""
        secret = self._entropy(KEY_BYTES)
        nonce = self._entropy(NONCE_BYTES)
        sealed = self._wrapping[self._newest].encrypt(nonce, secret, _wrap_aad(profile_id))
        wrapped = self._newest.to_bytes(2, "big") + nonce + sealed
        return DataKey(profile_id, secret), wrapped

    def unwrap(self, profile_id: int, wrapped: bytes) -> DataKey:
        """The data key of a profile from its stored form.

        Raises:
            StoreError: If the secret of its version is not given, or it was wrapped for another.
        """
        version = int.from_bytes(wrapped[:2], "big")
        wrapping = self._wrapping.get(version)
        if wrapping is None:
            raise StoreError(
                f"a data key was wrapped under secret version {version}, which is not given; "
                "keep the old ANTIPHON_SECRET_KEY beside the new one"
            )
        nonce, sealed = wrapped[2 : 2 + NONCE_BYTES], wrapped[2 + NONCE_BYTES :]
        try:
            return DataKey(profile_id, wrapping.decrypt(nonce, sealed, _wrap_aad(profile_id)))
        except InvalidTag as error:
            raise StoreError(
                f"the data key of profile {profile_id} does not open under this "
                "ANTIPHON_SECRET_KEY; give the one the database was made with"
            ) from error

    def seal(self, key: DataKey, text: str, *, aad: str) -> str:
        """Encrypt a text as "sealed:<profile id>:<base64>".

        The id says whose key opens it, also after a merge. `aad` is where the text stands (a trait
        name): sealed under one name, it does not open under another.
        """
        nonce = self._entropy(NONCE_BYTES)
        sealed = AESGCM(key.secret).encrypt(nonce, text.encode(), aad.encode())
        return f"sealed:{key.profile_id}:{b64encode(nonce + sealed).decode()}"

    def open(self, key: DataKey, sealed: str, *, aad: str) -> str:
        """The text again.

        Raises:
            StoreError: If it was sealed for another profile or name, or was tampered with.
        """
        if sealed_for(sealed) != key.profile_id:
            raise StoreError(f"this {aad} was sealed for profile {sealed_for(sealed)}")
        data = b64decode(sealed.rpartition(":")[2])
        try:
            opened = AESGCM(key.secret).decrypt(
                data[:NONCE_BYTES], data[NONCE_BYTES:], aad.encode()
            )
        except InvalidTag as error:
            raise StoreError(f"a sealed {aad} of profile {key.profile_id} was changed") from error
        return opened.decode()

    def seal_value(self, key: DataKey, value: Any, *, name: str, kind: str) -> dict[str, str]:
        """A personal value as events and profiles keep it: {"$sealed": …, "$blind": …}.

        What is sealed is the JSON of the value, so that a number comes back as a number. `kind`
        is the declared type (`email`, `phone`, …), which decides how the blind hash normalises.
        """
        text = msgspec.json.encode(value).decode()
        return {
            "$sealed": self.seal(key, text, aad=name),
            "$blind": self.mark(name, kind, value),
        }

    def open_value(self, key: DataKey, sealed: str, *, name: str) -> Any:
        """The value of `seal_value` from its "$sealed" text."""
        return msgspec.json.decode(self.open(key, sealed, aad=name))

    def mark(self, name: str, kind: str, value: Any, *, form: int = PRESENT_FORM) -> str:
        """What stands in `profile.traits` for a personal value: "blind:<hex>".

        Campaigns compile the operands of conditions on `pii` traits to the same mark.
        """
        return "blind:" + self.blind(blind_kind(name, kind), value, form=form)

    def blind(self, kind: str, value: Any, *, form: int = PRESENT_FORM) -> str:
        """A keyed hash (hex) under which a personal value is found without being read."""
        return hmac.digest(self._blind_key, _hashed(kind, value, form), "sha256").hex()[:32]

    def address_hash(self, channel: str, address: str, *, form: int = PRESENT_FORM) -> bytes:
        """The key of a `contact` row: 16 bytes that nobody can reverse without the secret."""
        kind = "email" if "@" in address else "phone" if _is_phone(address) else "text"
        data = f"{channel}\0".encode() + _hashed(kind, address, form)
        return hmac.digest(self._address_key, data, "sha256")[:16]


def sealed_for(sealed: str) -> int:
    """The profile whose data key opens a sealed text.

    Raises:
        StoreError: If the text is not a sealed one.
    """
    prefix, _, rest = sealed.partition(":")
    profile_id = rest.partition(":")[0]
    if prefix != "sealed" or not profile_id.isdigit():
        raise StoreError("this text is not sealed")
    return int(profile_id)


def is_sealed(value: object) -> bool:
    """Whether a value of an event or profile is {"$sealed": …, "$blind": …}."""
    return isinstance(value, dict) and "$sealed" in value


def blind_kind(name: str, kind: str) -> str:
    """E-mail addresses and phone numbers share one index whatever the trait is called."""
    return kind if kind in ("email", "phone") else name


def normalised(kind: str, value: Any, *, form: int = PRESENT_FORM) -> str:
    """The form in which two spellings of one address are equal.

    Args:
        form: 1 is how e-mail addresses were normalised up to 0.3, for finding what it hashed.

    >>> normalised("email", " Ann@Example.COM "), normalised("phone", "+49 (151) 234-5")
    ('ann@example.com', '+491512345')
    """
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if kind == "email":
        return canonical_email(value) if form == PRESENT_FORM else value.strip().lower()
    if kind == "phone":
        return re.sub(r"[\s().\-/]", "", value)
    return value


def mask(address: str) -> str:
    """An address as logs and errors may show it.

    >>> mask("ann.smith@example.com"), mask("+4915123456789"), mask("token-abcdef-123456")
    ('a***@e***.com', '+49***89', 'tok***56')
    """
    found = _EMAIL.fullmatch(address.strip())
    if found:
        return f"{found[1]}***@{found[2]}***{found[3]}"
    return "***" if len(address) < 8 else f"{address[:3]}***{address[-2:]}"


def _is_phone(address: str) -> bool:
    return bool(re.fullmatch(r"\+?[\d\s().\-/]{5,}", address))


def _hashed(kind: str, value: Any, form: int) -> bytes:
    return f"{kind}\0{normalised(kind, value, form=form)}".encode()


def _wrap_aad(profile_id: int) -> bytes:
    return b"data-key:" + str(profile_id).encode()


def _derived(secret: str, purpose: bytes) -> bytes:
    # The salt is fixed: the secret is random already, and the same one must give the same keys.
    salt = hashlib.sha256(b"antiphon vault 1").digest()
    return HKDF(SHA256(), KEY_BYTES, salt, b"antiphon/" + purpose).derive(secret.encode())
