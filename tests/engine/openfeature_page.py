"""A page in a real browser that asks for flags by OpenFeature's own provider, from npm.

The modules come by `npm ci`, as the lock file of tests/fixtures/openfeature_web pins them, into a
folder of the machine's temporary directory; nothing is bundled: an import map leads to them.
"""

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PINNED = Path(__file__).parents[1] / "fixtures" / "openfeature_web"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NPM_SECONDS_MAX = 120
MODULES = {
    "@openfeature/core": "core/dist/esm/index.js",
    "@openfeature/web-sdk": "web-sdk/dist/esm/index.js",
    "@openfeature/ofrep-core": "ofrep-core/index.esm.js",
    "@openfeature/ofrep-web-provider": "ofrep-web-provider/index.esm.js",
}

PAGE = """<!doctype html><meta charset="utf-8"><title>flags</title>
<script type="importmap">{"imports": IMPORTS}</script>
<script type="module">
const tell = (about) => fetch("/told", {method: "POST", body: JSON.stringify(about)});
window.addEventListener("unhandledrejection", (it) => tell({step: "failed", why: `${it.reason}`}));
const {OpenFeature, ProviderEvents} = await import("@openfeature/web-sdk");
const {OFREPWebProvider} = await import("@openfeature/ofrep-web-provider");
const asked = [];
const provider = new OFREPWebProvider({
  baseUrl: HOST,
  cacheMode: "disabled",
  headers: [["Authorization", "Bearer " + KEY]],
  fetchImplementation: async (request, more) => {
    const answer = await fetch(request, more);
    asked.push([answer.status, new URL(request.url).search]);
    return answer;
  },
});
const client = OpenFeature.getClient();
const look = (step) => tell({step, asked: asked.splice(0), found: {
  button: client.getStringDetails("button", "none"),
  isNew: client.getBooleanDetails("is-new", false),
  price: client.getNumberDetails("price", 9.9),
  layout: client.getObjectDetails("layout", {}),
  unknown: client.getStringDetails("no-such", "mine"),
  mistyped: client.getBooleanDetails("button", true),
}});
await OpenFeature.setContext({targetingKey: "v1", country: "US"});
await OpenFeature.setProviderAndWait(provider);
await look("first");
const same = {targetingKey: "v1", country: "US"};
await provider.onContextChange(same, same);
await look("again");
await OpenFeature.setContext({targetingKey: "v2", country: "FR"});
await look("another");
client.addHandler(ProviderEvents.ConfigurationChanged, () => look("changed"));
await tell({step: "listening"});
</script>
"""


def npm_modules() -> Path:
    """The folder with the pinned packages; fetched once a machine and version, else skipped."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("OpenFeature's web provider is not tested: npm is not installed")
    lock = (PINNED / "package-lock.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"antiphon-npm-{sha256(lock).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        making = Path(tempfile.mkdtemp(prefix="antiphon-npm-"))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PINNED / name, making / name)
        words = (npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(making))
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=NPM_SECONDS_MAX, check=False
            )
            why = done.stderr if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = f"npm took longer than {NPM_SECONDS_MAX} s"
        if why:
            shutil.rmtree(making, ignore_errors=True)
            pytest.skip(f"OpenFeature's web provider is not tested: {why.strip()[-200:]}")
        (making / "complete").touch()
        try:
            making.rename(folder)
        except OSError:  # another run was first
            shutil.rmtree(making, ignore_errors=True)
    return folder / "node_modules" / "@openfeature"


class Page:
    """What the page tells, step by step."""

    def __init__(self) -> None:
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()

    def told(self, step: str, *, seconds: float = 40.0) -> dict[str, Any]:
        """Wait for the page to have come to a step."""
        while True:
            found = self._told.get(timeout=seconds)
            assert found["step"] != "failed", found["why"]
            if found["step"] == step:
                return found

    def hear(self, about: dict[str, Any]) -> None:
        self._told.put(about)


@contextmanager
def a_page(host: str, key: str, folder: Path) -> Iterator[Page]:
    """The page, open in a headless browser until the end of the block."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("OpenFeature's web provider is not tested: Chromium is not installed")
    modules = npm_modules()
    imports = json.dumps({name: f"/npm/{path}" for name, path in MODULES.items()})
    text = PAGE.replace("IMPORTS", imports).replace("HOST", json.dumps(host))
    page = Page()
    server = _server(text.replace("KEY", json.dumps(key)), modules, page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    process = subprocess.Popen(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", f"--user-data-dir={folder / 'browser'}", url,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield page
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        server.shutdown()
        server.server_close()


def _server(text: str, modules: Path, page: Page) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(text.encode(), "text/html; charset=utf-8")
                return
            wanted = (modules / self.path.removeprefix("/npm/")).resolve()
            if not self.path.startswith("/npm/") or not wanted.is_relative_to(modules.resolve()):
                self.send_error(404)
                return
            self._answer(wanted.read_bytes(), "text/javascript")

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            page.hear(json.loads(self.rfile.read(length)))
            self._answer(b"{}", "application/json")

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
