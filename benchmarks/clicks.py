"""Clicks through the real server: the link looked up, the click committed, the reader sent on.

Run: python -m benchmarks.clicks [--per-second 1000] [--seconds 10]

Every request is the click of another person on another message, so that nothing is remembered.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.echoing import Serving, a_shop, paced, report
from channels.tokens import make_token
from engine.settings import link_key, read_settings


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
        a_shop(folder / "shop", channel, n_messages=n + 500, provider="email.sandbox")
        key = link_key(read_settings(folder / "shop"))
        clicks = [
            f"GET /t/c/{make_token('click', message, index=0, key=key)} HTTP/1.1\r\n"
            "Host: shop\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\n\r\n".encode()
            for message in range(1, n + 501)
        ]
        server = Serving(folder / "shop")
        try:
            uvloop.run(paced(server.port, clicks[n:], per_second=300, ok=b"HTTP/1.1 302"))
            before = server.cpu_seconds()
            load = uvloop.run(
                paced(server.port, clicks[:n], per_second=arguments.per_second, ok=b"HTTP/1.1 302")
            )
            load.cpu_seconds = server.cpu_seconds() - before
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report("click redirects", load, wanted=arguments.per_second, p99_ms=30)
    return 0


if __name__ == "__main__":
    sys.exit(main())
