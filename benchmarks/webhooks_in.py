"""Callbacks of a provider through the real server: verified, deduplicated, committed, answered.

Run: python -m benchmarks.webhooks_in [--per-second 1500] [--seconds 10]

Each request is one of SendGrid's signed event webhooks (ECDSA) with one event. A third are
repeats, as providers send them. The floor beside it is the signature check alone.
"""

import argparse
import base64
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.echoing import Serving, a_shop, paced, report

KEY = ec.derive_private_key(20_261_123, ec.SECP256R1())
WORDS = ("processed", "delivered", "open", "click")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--per-second", type=float, default=1_500)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.0f}")  # fmt: skip
    n = int(arguments.per_second * arguments.seconds)
    public = base64.b64encode(
        KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    channel = (
        "{provider: sendgrid, api_key: none, from: shop@shop.example, webhook_key: " + public + "}"
    )
    folder = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    try:
        a_shop(folder / "shop", channel, n_messages=n, provider="email.sendgrid")
        warm, requests = some(500, n), some(n, n)
        server = Serving(folder / "shop")
        try:
            uvloop.run(paced(server.port, warm, per_second=500, ok=b"HTTP/1.1 200"))
            before = server.cpu_seconds()
            load = uvloop.run(
                paced(server.port, requests, per_second=arguments.per_second, ok=b"HTTP/1.1 200")
            )
            load.cpu_seconds = server.cpu_seconds() - before
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report("verified callbacks", load, wanted=arguments.per_second, p99_ms=50)
    print(f"the signature check alone: {checks_per_second():,.0f}/s")
    return 0


def some(n: int, n_messages: int) -> list[bytes]:
    """Signed requests, a third of them repeats of earlier ones."""
    rng = random.Random(n)
    made: list[bytes] = []
    for _ in range(n):
        made.append(rng.choice(made) if made and rng.random() < 1 / 3 else one(rng, n_messages))
    return made


def one(rng: random.Random, n_messages: int) -> bytes:
    message, now = rng.randrange(1, n_messages + 1), int(time.time())
    event = {
        "event": rng.choice(WORDS), "email": f"u{message}@example.com", "timestamp": now,
        "sg_event_id": f"{rng.getrandbits(128):x}", "sg_message_id": f"sg{message}.filter0001",
        "message": str(message), "campaign": "cart-reminder", "useragent": "Mozilla/5.0 (X11)",
        "ip": "192.0.2.1", "url": "https://my-shop.example/cart",
    }  # fmt: skip
    body = msgspec.json.encode([event]) + b"\r\n"
    signature = base64.b64encode(KEY.sign(str(now).encode() + body, ec.ECDSA(SHA256()))).decode()
    head = (
        "POST /webhooks/email HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        f"X-Twilio-Email-Event-Webhook-Timestamp: {now}\r\n"
        f"X-Twilio-Email-Event-Webhook-Signature: {signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def checks_per_second() -> float:
    public, data = KEY.public_key(), os.urandom(400)
    signature = KEY.sign(data, ec.ECDSA(SHA256()))
    started = time.perf_counter()
    for _ in range(1_000):
        public.verify(signature, data, ec.ECDSA(SHA256()))
    return 1_000 / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
