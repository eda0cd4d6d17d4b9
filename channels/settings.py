"""The map of a channel in antiphon.yaml -> a provider's own settings, or a clear word."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from channels.base import Channel
from engine.core.errors import UsageError

Kind = TypeVar("Kind", bound=Struct)


def read_settings(kind: type[Kind], settings: Mapping[str, Any], *, channel: Channel) -> Kind:
    """The settings as `kind`, a Struct that forbids unknown fields.

    Numbers and flags may come as text, since `${env:…}` is always text. No message holds a value:
    it may be a secret.

    Raises:
        UsageError: Naming the field, what is allowed, and all there are when one is unknown.
    """
    try:
        return msgspec.convert(dict(settings), kind, strict=False)
    except msgspec.ValidationError as error:
        names = [field.encode_name for field in msgspec.structs.fields(kind)]
        raise UsageError(f"channels.{channel}: {error}. It knows: {', '.join(names)}") from None


def check_filled(settings: Struct, *names: str, channel: Channel) -> None:
    """Refuse settings that are there and empty, as an unset variable leaves them.

    Raises:
        UsageError: Naming the first.
    """
    for name in names:
        if not getattr(settings, name):
            raise UsageError(f"channels.{channel}.{name.rstrip('_')} is empty")
