"""Is this an e-mail address, is this a phone number: the normal form, or why not.

Checks form only: whether anyone reads it, a bounce will tell. A ValueError never repeats the
address, so its text may be logged.
"""

import re
import unicodedata
from typing import Final

# RFC 5321 dot-atom, letters beyond ASCII allowed (RFC 6531). Quoted local parts are refused: no
# mailbox provider hands them out and most forms and vendors break on them.
_LOCAL: Final = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\\\]]+")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def normal_email(text: str) -> str:
    """The address with its domain in lower-case A-labels; the local part is left alone.

    >>> normal_email(" Ada@Bücher.Example ")
    'Ada@xn--bcher-kva.example'

    Raises:
        ValueError: If it is not an address, naming the fault and not the address.
    """
    text = text.strip()
    if text.count("@") != 1:
        raise ValueError("an e-mail address has exactly one @")
    local, domain = text.split("@")
    if not local or len(local.encode()) > 64:
        raise ValueError("the part before the @ must have 1 to 64 bytes")
    if not _LOCAL.fullmatch(local) or not local.isprintable():
        raise ValueError("the part before the @ has a character that is not allowed there")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("the part before the @ has a dot at its edge or two in a row")
    ascii_domain = _normal_domain(domain)
    if len(local.encode()) + len(ascii_domain) + 1 > 254:
        raise ValueError("an e-mail address has at most 254 characters")
    return f"{local}@{ascii_domain}"


def canonical_email(text: str) -> str:
    """The form in which two spellings of an address are equal; for hashes, so nothing is refused.

    Domains compare as A-labels and without case. So do local parts: RFC 5321 lets a host tell case
    apart, none does, and a suppression must not be escaped by a capital. Beyond ASCII, texts that
    look the same are the same (NFC, RFC 6532 section 3.1).

    >>> canonical_email(" Ada@BÜCHER.example") == canonical_email("ada@xn--bcher-kva.example")
    True
    """
    text = text.strip()
    if text.isascii():
        return text.lower()
    import idna

    local, at, domain = text.rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        domain = _composed(domain)
    return f"{_composed(local)}{at}{domain}"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def _normal_domain(domain: str) -> str:
    if not domain.isascii():
        import idna

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            raise ValueError("the part after the @ is not a valid domain name") from None
    domain = domain.lower()
    labels = domain.split(".")
    if len(labels) < 2:
        raise ValueError("the part after the @ needs a dot, as in example.com")
    if len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the part after the @ is not a valid domain name")
    if labels[-1].isdigit():
        raise ValueError("the part after the @ is not a domain name but a number")
    return domain


def normal_phone(text: str, *, region: str | None = None) -> str:
    """The number as E.164 (`+` and at most 15 digits).

    Args:
        region: Two-letter country in which a number without + is read, such as "DE".
    Raises:
        ValueError: If it is no valid number, or one that cannot receive SMS, naming the fault.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise ValueError("a phone number starts with + and its country code") from None
        raise ValueError("this is not a phone number") from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError("no country has given out a phone number like this one")
    kind = phonenumbers.number_type(number)
    if kind in _DEAF:
        raise ValueError(f"{_DEAF[kind]} cannot receive text messages")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def is_e164(text: str) -> bool:
    """Whether this has the form of a number as we keep it: + and 7 to 15 digits."""
    return _E164.fullmatch(text) is not None


def e164(text: str, *, region: str | None = None) -> str:
    """A number as vendors take it, however it was written; unchanged where nobody can tell.

    Whether anybody has it is not asked: the vendor will say.

    Args:
        region: Two-letter country in which a number without its country code is read.

    >>> e164("+49 (151) 1234-5678"), e164("0044 7700 900123"), e164("0151 12345678", region="DE")
    ('+4915112345678', '+447700900123', '+4915112345678')
    >>> e164("0151 12345678")
    '0151 12345678'
    """
    bare = _SEPARATORS.sub("", text)
    bare = f"+{bare[2:]}" if bare.startswith("00") else bare
    if is_e164(bare) or not region:
        return bare if is_e164(bare) else text
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region.upper())
    except phonenumbers.NumberParseException:
        return text
    found = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return found if is_e164(found) and phonenumbers.is_possible_number(number) else text


def deaf_kind(number: str) -> str | None:
    """What a number in E.164 is if it is certain that no text message reaches it, in words.

    Where mobiles and landlines share their numbers (the USA, Mexico), nothing is certain; nor is
    it of toll-free numbers of +1, which businesses have enabled for texts.

    >>> deaf_kind("+493012345678"), deaf_kind("+4915112345678"), deaf_kind("+12125550123")
    ('a landline', None, None)
    """
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    kind = phonenumbers.number_type(parsed)
    is_open = kind == phonenumbers.PhoneNumberType.TOLL_FREE and parsed.country_code == 1
    return None if is_open else _DEAF.get(kind)


def phone_country(number: str) -> str:
    """The country of a number in E.164 as two letters, "" if its prefix belongs to none.

    An area code of +1 that nobody knows counts as the United States, the strictest of its users.

    >>> phone_country("+14165550123"), phone_country("+447700900123"), phone_country("+18765550123")
    ('CA', 'GB', 'JM')
    """
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ""
    prefix = parsed.country_code or 0
    found = phonenumbers.region_code_for_number(parsed)
    found = str(found or phonenumbers.region_code_for_country_code(prefix))
    return found if found.isalpha() and found != "ZZ" else ""


_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SEPARATORS: Final = re.compile(r"[\s().\-/]")

# phonenumbers.PhoneNumberType, as numbers so that importing this module stays cheap.
_DEAF: Final = {
    0: "a landline",
    3: "a toll-free number",
    4: "a premium-rate number",
    5: "a shared-cost number",
    10: "a voicemail number",
}
