"""Where a provider's claims are tried: its module opened as the engine opens it, calls recorded."""

import base64
import binascii
import email
import email.policy
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec

from campaigns.secrets import Secret
from channels import http_provider, open_provider
from channels.base import NotSent, Receipt
from channels.calls import Answer, Call
from channels.http_provider import HttpProvider
from tests.channels.vendor_cases import NOW, VendorCases
from tests.channels.vendor_server import Behaviour, VendorServer, running, wire

_SECRET_NAME = re.compile(r"key|token|secret|passw|auth|private|credential|account|^url$", re.I)
_PUBLIC_NAME = re.compile(r"public|_id$|^kid$|verification|account_?sid|topic", re.I)

Exchange = Callable[[httpx.AsyncClient, Call], Awaitable[Answer | Receipt]]


@dataclass
class Bench:
    """One provider before one server, and every call it asked for."""

    provider: HttpProvider
    server: VendorServer
    calls: list[Call] = field(default_factory=list)

    @property
    def call(self) -> Call:
        """The call that was to send the message."""
        return self.calls[-1]


def opened(
    cases: VendorCases, *, settings: Mapping[str, Any] | None = None, now: int = NOW
) -> HttpProvider:
    """The provider by its name in PROVIDERS, its settings as the engine hands them in."""
    channel, _, name = cases.provider.partition(".")
    provider = open_provider(
        channel,
        name,
        _as_secrets(dict(cases.settings if settings is None else settings)),
        directory=Path("nowhere"),
        rng=random.Random(7),
        now=lambda: now,
    )
    assert isinstance(provider, HttpProvider), f"{cases.provider} is built by other means"
    return provider


@asynccontextmanager
async def bench(cases: VendorCases, behaviour: Behaviour) -> AsyncIterator[Bench]:
    """A provider whose every call goes to a server that behaves so."""
    async with running(behaviour, questions=cases.questions) as server:
        provider = opened(cases)
        await wire(provider, server)
        tried = Bench(provider, server)
        with recording(tried.calls):
            try:
                yield tried
            finally:
                await provider.close()


@contextmanager
def recording(calls: list[Call]) -> Iterator[None]:
    """Every call that any provider makes meanwhile, as it was asked for."""
    exchange: Exchange = vars(http_provider)["exchange"]

    async def recorded(client: httpx.AsyncClient, call: Call) -> Answer | Receipt:
        calls.append(call)
        return await exchange(client, call)

    with patch.object(http_provider, "exchange", recorded):
        yield


@contextmanager
def answering(cases: VendorCases, answer: Answer | None = None) -> Iterator[None]:
    """Calls answered without a wire: questions as the cases say, all else by `answer`."""

    async def exchange(client: httpx.AsyncClient, call: Call) -> Answer | Receipt:
        for part, said in cases.questions.items():
            if part in call.url:
                return said
        return answer or NotSent("nobody is there")

    with patch.object(http_provider, "exchange", exchange):
        yield


@contextmanager
def listening() -> Iterator[list[str]]:
    """Everything that is logged meanwhile, at any level, by anyone."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, handler = logging.getLogger(), Handler(logging.DEBUG)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def secrets_of(settings: Mapping[str, Any]) -> list[str]:
    """What nobody may read: settings whose names say so, of keys over lines a middle one."""
    found: list[str] = []
    for name, value in settings.items():
        is_secret = _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = json.loads(value)
        if isinstance(value, Mapping):
            found += secrets_of(value)
        elif is_secret:
            for each in value if isinstance(value, list | tuple) else (value,):
                lines = str(each).strip().splitlines()
                if lines and len(lines[len(lines) // 2]) >= 6:
                    found.append(lines[len(lines) // 2])
    return found


def _as_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_secrets(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_secrets(each) for each in value]
    return Secret(value) if isinstance(value, str) else value


# --- what a request says ------------------------------------------------------------------------


def texts_of(call: Call) -> list[str]:
    """Every text that a request carries: of its query, JSON, form, parts, or mail inside them."""
    kind = next((each for name, each in call.headers.items() if name.lower() == "content-type"), "")
    found = [value for _, value in parse_qsl(urlsplit(call.url).query)]
    if "json" in kind:
        found += _leaves(msgspec.json.decode(call.body))
    elif "x-www-form-urlencoded" in kind:
        found += [value for _, value in parse_qsl(call.body.decode())]
    elif "multipart" in kind:
        found += _mail(f"Content-Type: {kind}\r\n\r\n".encode() + call.body)
    else:
        found.append(call.body.decode("utf-8", "replace"))
    return [inner for text in found for inner in _inside(text)]


def _inside(text: str) -> list[str]:
    """A text, and the JSON or the mail that it is, plain or in base64."""
    found = [text]
    raw = text.encode("utf-8", "surrogateescape")
    with suppress(binascii.Error, ValueError):
        raw = base64.b64decode(raw, validate=True)
    if re.match(rb"[A-Za-z-]+: ", raw) and b"\n\n" in raw.replace(b"\r\n", b"\n"):
        found += _mail(raw)
    elif text[:1] in "{[":
        with suppress(ValueError):
            found += _leaves(json.loads(text))
    return found


def _mail(raw: bytes) -> list[str]:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    found = [str(value) for value in message.values()]
    for part in message.walk():
        if part.get_content_type() == "message/rfc822" or part.is_multipart():
            continue
        content = part.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        found += _inside(text)
    return found


def _leaves(value: Any) -> list[str]:
    if isinstance(value, str):
        return _inside(value) if value[:1] in "{[" else [value, *_inside(value)[1:]]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [leaf for each in inner for leaf in _leaves(each)]
