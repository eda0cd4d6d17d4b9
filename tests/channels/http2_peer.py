"""Servers that speak HTTP/2 over TLS, as APNs and FCM do, on this machine.

`serving` runs an ASGI app in hypercorn; `speaking` is a connection in our own hands, for what a
well-behaved server does not do when a test asks it to: GOAWAY, and streams refused.
"""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypercorn.asyncio import serve
from hypercorn.config import Config

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def make_certificate(folder: Path) -> tuple[str, str]:
    """A certificate of this machine that signs itself, and its key, as files."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=24))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    cert_file, key_file = folder / "peer.pem", folder / "peer.key"
    cert_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    form = PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
    return str(cert_file), str(key_file)


@asynccontextmanager
async def serving(app: App, certificate: tuple[str, str]) -> AsyncIterator[str]:
    """The address of a hypercorn that serves an app until the block ends."""
    probe = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile, config.keyfile = certificate
    config.loglevel = "CRITICAL"
    ended = asyncio.Event()
    running = asyncio.create_task(serve(app, config, shutdown_trigger=ended.wait))  # type: ignore[arg-type]
    try:
        await _until_open(port)
        yield f"https://127.0.0.1:{port}"
    finally:
        ended.set()
        await running


async def _until_open(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
    raise TimeoutError("the server did not open its port")


# --- a connection in our own hands --------------------------------------------------------------

Behave = Callable[[h2.connection.H2Connection, int, int], None]
"""(connection, number of the connection from 1, stream whose request is whole) -> what is said."""


@asynccontextmanager
async def speaking(
    behave: Behave, certificate: tuple[str, str], *, streams: int = 100
) -> AsyncIterator[tuple[str, list[tuple[int, int]]]]:
    """The address of a server that does as `behave` says, and what was asked of it, as
    (connection, stream)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["h2"])
    asked: list[tuple[int, int]] = []
    connections: list[int] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        number = len(connections)
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        at_once = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams}
        state.local_settings = h2.settings.Settings(client=False, initial_values=at_once)
        state.initiate_connection()
        writer.write(state.data_to_send())
        try:
            while data := await reader.read(65_536):
                for event in state.receive_data(data):
                    if isinstance(event, h2.events.DataReceived) and event.stream_id:
                        size = event.flow_controlled_length or 0
                        state.acknowledge_received_data(size, event.stream_id)
                    if isinstance(event, h2.events.StreamEnded) and event.stream_id:
                        asked.append((number, event.stream_id))
                        behave(state, number, event.stream_id)
                writer.write(state.data_to_send())
                await writer.drain()
        except h2.exceptions.ProtocolError:
            # It has said GOAWAY and hears no more; a reset would take back what it said.
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


def answer(state: h2.connection.H2Connection, stream: int, status: int = 200) -> None:
    """Answer a stream with a status and no body."""
    state.send_headers(stream, [(":status", str(status)), ("apns-id", "theirs")], end_stream=True)
