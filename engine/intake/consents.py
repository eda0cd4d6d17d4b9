"""What an item says of consent, checked: `{"email": {"offers": true}}`, by channel and topic."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from engine.core.errors import InvalidEvent
from engine.intake.declared import Declared
from engine.intake.validate import check_name
from engine.store.keys import KeyKind

PROOF_CHARACTERS_MAX: Final = 500

Consents = dict[str, dict[str, bool]]


def read_consents(
    given: Sequence[tuple[str, Any]], ignored: list[str], *, declared: Declared, key: KeyKind
) -> Consents:
    """Consent as {channel: {topic: granted}}; what does not count is named in `ignored`.

    A browser key may only claim what its person will be asked to confirm: anybody can send by it.

    Args:
        given: Each with the field that it stood in.
    Raises:
        InvalidEvent: It has another form.
    """
    consent: Consents = {}
    for field, channels in given:
        if key == "browser" and not declared.double:
            ignored.append(field)
            continue
        if not isinstance(channels, dict):
            raise InvalidEvent(
                f'{field}: {{"email": {{"offers": true}}}} is the form of a consent', field=field
            )
        for channel, topics in channels.items():
            where = f"{field}.{channel[:60]}"
            if declared.channels and channel not in declared.channels:
                ignored.append(where)
                continue
            if not isinstance(topics, dict):
                raise InvalidEvent(
                    f'{where}: {{"offers": true}} is the form of a consent', field=where
                )
            for topic, granted in topics.items():
                place = f"{where}.{topic[:60]}"
                if not isinstance(granted, bool):
                    raise InvalidEvent(f"{place}: true or false is required", field=place)
                if key == "browser" and not (granted and topic in declared.double):
                    ignored.append(place)
                    continue
                consent.setdefault(channel, {})[check_name(topic, field=where)] = granted
    return consent


def held_back(consent: Consents, double: Collection[str]) -> list[tuple[str, str]]:
    """Take out what its person must confirm first; give it by (channel, topic)."""
    held = [
        (channel, topic)
        for channel, topics in consent.items()
        for topic, granted in topics.items()
        if granted and topic in double
    ]
    for channel, topic in held:
        del consent[channel][topic]
        if not consent[channel]:
            del consent[channel]
    return held


def proof_of(value: Any) -> str:
    """What a server says of how its person confirmed, "" for nothing.

    Raises:
        InvalidEvent: It is no text.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidEvent("context.consentProof: a text is required", field="context.consentProof")
    return (value or "").strip()[:PROOF_CHARACTERS_MAX]
