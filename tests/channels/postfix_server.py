"""A Postfix of our own for a test: its own folders, no DNS, routes to where the test listens.

Needs the Debian package `postfix` and to be root, as Postfix' master asks; else the test skips.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

POSTFIX = "/usr/sbin/postfix"
SINK = "/usr/sbin/smtp-sink"

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}/log
myhostname = relay.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
transport_maps = inline:{{ {{*=smtp:[127.0.0.1]:{next_port}}} }}
smtp_destination_rate_delay = 0
alias_maps =
local_recipient_maps =
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int, *, seconds: float = 10.0) -> None:
    """Until somebody listens there."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < until, f"nobody listens on port {port}"
        time.sleep(0.05)


@contextlib.contextmanager
def postfix(next_port: int) -> Iterator[int]:
    """Its port; whatever it takes it hands on to `next_port`, bounces too."""
    if not Path(POSTFIX).exists():
        pytest.skip("Postfix is not here: install the Debian package postfix to try it")
    if os.geteuid() != 0:
        pytest.skip("Postfix is started by root only")
    # Not in pytest's own folder: that is closed to everyone else, and Postfix has users of its own.
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    port = free_port()
    try:
        for name in ("etc", "queue", "data", "log"):
            (folder / name).mkdir(mode=0o755)
        shutil.chown(folder / "data", "postfix", "postfix")
        (folder / "etc/main.cf").write_text(MAIN.format(folder=folder, next_port=next_port))
        (folder / "etc/master.cf").write_text(MASTER.format(port=port))
        command = [POSTFIX, "-c", str(folder / "etc")]
        started = subprocess.run([*command, "start"], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr
        try:
            wait_for(port)
            yield port
        finally:
            subprocess.run([*command, "stop"], capture_output=True, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def smtp_sink(folder: Path) -> Iterator[int]:
    """Postfix' test server, which dumps what it is told into files of the folder."""
    if not Path(SINK).exists():
        pytest.skip("smtp-sink is not here: it comes with the Debian package postfix")
    port = free_port()
    dump = Path(tempfile.mkdtemp(prefix="sink-"))
    dump.chmod(0o777)
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen([SINK, *user, "-d", f"{dump}/%M.", f"127.0.0.1:{port}", "64"])
    try:
        wait_for(port)
        yield port
        for number, path in enumerate(sorted(dump.iterdir())):
            shutil.copy(path, folder / f"{number}.txt")
    finally:
        sink.terminate()
        sink.wait(timeout=5)
        shutil.rmtree(dump, ignore_errors=True)
