"""Flags over HTTP through the real server: single, all at once, the payload, whole audiences.

Run: python -m benchmarks.flags [--per-second 1000] [--seconds 8] [--units 100000]

Five served experiments: by user and by anonymous id, one with a condition, one for a segment, one
on a slice of a layer. Half of the visitors are among 2,000 known people, whose profiles are read at
every request, half are strangers. 64 connections; each request is due at a fixed instant and timed
from then. No answer is a 304. The client runs on the same cores.

The last line is `POST /v1/assignments:batch`: units a second, beside bare `assign_batch`.
"""

import argparse
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import uvloop

from benchmarks.echoing import CONNECTIONS, PEOPLE, Serving, a_shop, paced, report
from engine.opened import opened
from engine.steady import present
from engine.store import keys
from experiments.assignment import assign
from experiments.assignment.batch import assign_batch

VALUES = "{control: {value: blue}, green: {value: green}}"
EXPERIMENTS = {
    "button": "unit: user\nwhere: {country: {in: [US, CA]}, age: {gte: 18}}\n",
    "price": "unit: anonymous\n",
    "layout": "unit: user\nlayer: {name: page, from: 0%, to: 60%}\n",
    "banner": "unit: user\naudience: {segment: named}\n",
    "colour": "unit: anonymous\ncoverage: 50%\n",
}
SEGMENT = "segment: named\nwhen: {not: {event: Order Completed, within: 30d}}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--per-second", type=float, default=1_000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--units", type=int, default=100_000)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.0f}, {CONNECTIONS} connections")  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    try:
        key = a_flag_shop(folder / "shop")
        server = Serving(folder / "shop")
        try:
            _check(server.port, key)
            for what, requests, share in _kinds(key, arguments):
                _measure(server, what, requests, per_second=arguments.per_second * share)
            _audience(server, key, arguments.units)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def a_flag_shop(folder: Path, *, more: Mapping[str, str] | None = None) -> str:
    """The shop of 2,000 people with the experiments applied, and more of them; a server key."""
    a_shop(folder, "{provider: sandbox, from: shop@example.com}", n_messages=1, provider="x")
    for name in ("experiments", "segments"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "segments" / "named.yaml").write_text(SEGMENT)
    settings = folder / "antiphon.yaml"
    settings.write_text(settings.read_text() + "\nlayers: {page: {}}\n")
    metric = next((folder / "metrics").iterdir()).read_text()
    name = re.search(r"(?m)^metric: (\S+)", metric)
    assert name is not None
    for each, about in {**EXPERIMENTS, **(more or {})}.items():
        text = f"experiment: {each}\nvariants: {VALUES}\nmetrics: {{primary: {name[1]}}}\n"
        (folder / "experiments" / f"{each}.yaml").write_text(text + about)
    subprocess.run([sys.executable, "-m", "engine.cli", "apply", str(folder)], check=True)
    with opened(folder) as it, it.database.write() as connection:
        key: str = keys.create(
            connection, kind="server", label="", entropy=secrets.token_bytes(30), now=present()
        )[1]
    return key


def _context(number: int) -> dict[str, object]:
    user = f"u{1 + number // 2 % PEOPLE}" if number % 2 else f"stranger-{number}"
    return {"targetingKey": user, "country": ("US", "CA", "FR")[number % 3], "age": number % 60}


def _kinds(key: str, arguments: argparse.Namespace) -> list[tuple[str, list[bytes], float]]:
    n = int(arguments.per_second * arguments.seconds)
    names = list(EXPERIMENTS)
    single = [
        _post(f"/ofrep/v1/evaluate/flags/{names[i % 5]}", {"context": _context(i)}, key)
        for i in range(n)
    ]
    bulk = [_post("/ofrep/v1/evaluate/flags", {"context": _context(i)}, key) for i in range(n)]
    remote = [_post(f"/api/eval/{key}", {"attributes": {
        "userId": _context(i)["targetingKey"], "anonymousId": f"d{i}", "country": "US", "age": 30,
    }}, key) for i in range(n)]  # fmt: skip
    payload = [f"GET /api/features/{key} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()] * n
    half = n // 2
    return [
        ("one flag (OFREP)", single, 1),
        ("all five flags (OFREP)", bulk[:half], 0.5),
        ("remote evaluation of five (GrowthBook)", remote[:half], 0.5),
        ("payload (GrowthBook)", payload, 1),
    ]


def _post(path: str, body: object, key: str) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _measure(server: Serving, what: str, requests: list[bytes], *, per_second: float) -> None:
    uvloop.run(paced(server.port, requests[:300], per_second=300, ok=b"HTTP/1.1 200"))
    before = server.cpu_seconds()
    load = uvloop.run(paced(server.port, requests, per_second=per_second, ok=b"HTTP/1.1 200"))
    load.cpu_seconds = server.cpu_seconds() - before
    report(what, load, wanted=per_second, p99_ms=50)


def _check(port: int, key: str) -> None:
    """A wrong answer would be fast."""
    for number in range(20):
        context = _context(number)
        told = _asked(port, "/ofrep/v1/evaluate/flags/price", {"context": context}, key)
        unit = str(context["targetingKey"])
        given = assign(unit, seed="price", variants=("control", "green"), weights=(1, 1))
        assert json.loads(told)["variant"] == given.variant, (told, given)


def _asked(port: int, path: str, body: object, key: str) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return bytes(answer.read())


def _audience(server: Serving, key: str, n_units: int) -> None:
    units = [f"visitor-{number}" for number in range(n_units)]
    body = {"experiment": "price", "units": units}
    before, began = server.cpu_seconds(), time.perf_counter()
    lines = _asked(server.port, "/v1/assignments:batch", body, key).splitlines()
    wall, cpu = time.perf_counter() - began, server.cpu_seconds() - before
    began = time.process_time()
    given = assign_batch(units, seed="price", variants=("control", "green"), weights=(1, 1))
    floor = time.process_time() - began
    names = [json.loads(line)["variant"] for line in lines[:-1]]
    assert names == [given.variants[index] for index in given.indices.tolist()]
    print(
        f"audience of {n_units:,} units given: {n_units / wall:,.0f}/s by the wall, "
        f"{n_units / cpu:,.0f} a second of the server's processor; bare assign_batch "
        f"{n_units / floor:,.0f}/s; load {os.getloadavg()[0]:.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
