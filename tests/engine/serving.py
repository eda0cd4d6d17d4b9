"""A real `antiphon serve` in a process of its own, for tests that must not pretend."""

import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 40.0


class Served:
    """A running server. Its first lines are read; the rest of its output is kept in `log`."""

    command_line: tuple[str, ...] = ("serve", "--port", "0")
    says: str = r"Antiphon serves .* at (http://\S+)"

    def __init__(self, directory: Path, *, environ: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *self.command_line, str(directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._await_address()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return command(*words)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=40)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)

    def _await_address(self) -> str:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            found = re.search(self.says, "".join(self.log))
            if found:
                return found[1]
            if self.process.poll() is not None:
                self._reader.join(timeout=5)
                raise AssertionError(f"serve ended at once:\n{''.join(self.log)}")
            time.sleep(0.02)
        raise AssertionError(f"serve did not start:\n{''.join(self.log)}")


def command(*words: Any, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `antiphon` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environ or {})},
        check=False,
    )
