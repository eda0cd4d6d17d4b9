"""A Kannel of the test's own: bearerbox, smsbox and its fake carrier, on free ports of loopback.

Debian: `apt install kannel kannel-extras`. Every process started here is ended here.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/kannel/test"
BEARERBOX, SMSBOX, FAKESMSC = (
    shutil.which(name, path=PATH) for name in ("bearerbox", "smsbox", "fakesmsc")
)
IS_INSTALLED = bool(BEARERBOX and SMSBOX and FAKESMSC)
SECONDS_MAX = 10.0

CONFIG = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = bar
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
dlr-storage = internal
store-type = file
store-location = {directory}/kannel.store

group = smsc
smsc = fake
smsc-id = fake
port = {carrier}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {box}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
http-request-retry = 1

group = sendsms-user
username = antiphon
password = a-password
max-messages = 10
concatenation = true

group = sms-service
keyword = default
get-url = "{answers}&from=%p&to=%P&text=%a&id=%I&at=%T"
max-messages = 0
"""


@dataclass
class Gateway:
    """A running Kannel. `called` are the addresses it asked for; `carried` what the phone got."""

    url: str
    carrier_port: int
    called: "Queue[str]"
    carrier_log: Path

    def carried(self) -> str:
        return self.carrier_log.read_text("utf-8", "replace")


@contextlib.contextmanager
def kannel(directory: Path, *, token: str, says: str) -> Iterator[tuple[Gateway, str]]:
    """A gateway whose fake carrier brings one text message (`"from to text words"`), and the
    address to which reports go.

    Raises:
        TimeoutError: One of its parts did not come up.
    """
    called: Queue[str] = Queue()
    server = _listening(called)
    public = f"http://127.0.0.1:{server.server_address[1]}/webhooks/sms"
    ports = dict(zip(("admin", "box", "carrier", "sendsms"), _free_ports(4), strict=True))
    config = directory / "kannel.conf"
    config.write_text(
        CONFIG.format(directory=directory, answers=f"{public}?token={token}", **ports)
    )
    log = directory / "fakesmsc.log"
    running: list[subprocess.Popen[bytes]] = []
    try:
        running.append(_start(BEARERBOX, str(config), log=directory / "bearerbox.log"))
        _until_open(ports["box"])
        _until_open(ports["carrier"])
        running.append(_start(SMSBOX, str(config), log=directory / "smsbox.log"))
        _until_open(ports["sendsms"])
        carrier = ["-H", "127.0.0.1", "-r", str(ports["carrier"]), "-i", "0.2", "-m", "1", says]
        running.append(_start(FAKESMSC, *carrier, log=log))
        url = f"http://127.0.0.1:{ports['sendsms']}"
        yield Gateway(url, ports["carrier"], called, log), public
    finally:
        for process in reversed(running):
            process.kill()
            process.wait(10)
        server.shutdown()
        server.server_close()


def _listening(called: "Queue[str]") -> ThreadingHTTPServer:
    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.put(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _start(program: str | None, *arguments: str, log: Path) -> "subprocess.Popen[bytes]":
    assert program is not None
    with log.open("wb") as out:
        return subprocess.Popen([program, *arguments], stdout=out, stderr=out)


def _until_open(port: int) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
