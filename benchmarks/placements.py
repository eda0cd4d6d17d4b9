"""Web messages read through the real server: found, asked whether they may be shown, opened.

Run: python -m benchmarks.placements [--per-second 1000] [--seconds 10]

Each of 2,000 visitors has two messages of 2 kB in two slots, as a page that is looked at often has.
Nothing is remembered between requests; no answer is a 304.
"""

import argparse
import base64
import json
import os
import platform
import secrets
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

import uvloop

from benchmarks.echoing import PEOPLE, Serving, a_shop, paced, report
from engine.core.model.gates import Placement
from engine.core.model.instants import DAY
from engine.opened import opened
from engine.sending.placing import place
from engine.steady import present
from engine.store import keys
from engine.store.queue import Outcome

SLOTS = 2
PAGE = '<p>It is spring. <a href="https://shop.example/spring">Have a look</a></p>' * 27


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--per-second", type=float, default=1_000)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.0f}")  # fmt: skip
    n = int(arguments.per_second * arguments.seconds)
    channel = '{provider: sandbox, from: "My Shop <hello@my-shop.example>"}'
    folder = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    try:
        a_shop(folder / "shop", channel, n_messages=SLOTS * PEOPLE, provider="email.sandbox")
        asked = base64.b64encode(f"{_with_placements(folder / 'shop')}:".encode()).decode()
        requests = [
            f"GET /v1/placements?userId=u{1 + i % PEOPLE} HTTP/1.1\r\nHost: shop\r\n"
            f"Authorization: Basic {asked}\r\n\r\n".encode()
            for i in range(n)
        ]
        server = Serving(folder / "shop")
        try:
            uvloop.run(paced(server.port, requests[:600], per_second=300, ok=b"HTTP/1.1 200"))
            _check(server.port, asked)
            before = server.cpu_seconds()
            load = uvloop.run(
                paced(server.port, requests, per_second=arguments.per_second, ok=b"HTTP/1.1 200")
            )
            load.cpu_seconds = server.cpu_seconds() - before
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report("placements read", load, wanted=arguments.per_second, p99_ms=30)
    return 0


def _check(port: int, asked: str) -> None:
    """An answer without its messages would be fast."""
    url = f"http://127.0.0.1:{port}/v1/placements?userId=u7"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {asked}"})
    found = json.load(urllib.request.urlopen(request, timeout=10))["placements"]
    assert [it["html"] for it in found] == [PAGE] * SLOTS, "not what was kept"


def _with_placements(folder: Path) -> str:
    """Keep two messages for everyone, as the outbox does; give a server key."""
    now = present()
    with opened(folder) as it, it.database.write() as connection:
        connection.execute("UPDATE profile SET consent = ?", ('{"web":{"offers":true}}',))
        outcomes = [
            Outcome(
                message, 1, "accepted", "sent", "", now, now,
                placement=Placement(f"slot-{message // PEOPLE}", "banner", 50, PAGE, now + DAY),
            )
            for message in range(1, SLOTS * PEOPLE + 1)
        ]  # fmt: skip
        # A campaign's newer message takes the place of an older one only in its own slot.
        place(connection, outcomes, vault=it.vault, now=now)
        ((kept,),) = connection.execute("SELECT count(*) FROM placement")
        assert kept == SLOTS * PEOPLE, kept
        key: str = keys.create(
            connection, kind="server", label="", entropy=secrets.token_bytes(30), now=now
        )[1]
    return key


if __name__ == "__main__":
    sys.exit(main())
