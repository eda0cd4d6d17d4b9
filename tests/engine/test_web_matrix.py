"""Every operation of the app with every credential: who may do what is one table."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from engine.store.database import Database
from engine.web.app import create_app
from engine.web.pages import COOKIE
from engine.web.tracking import PATHS
from tests.engine.web_harness import LOCAL_TOKEN, PAGE_TOKEN, App, an_app, basic

CREDENTIALS = ("none", "wrong key", "revoked", "browser", "server", "page token", "local token")
KEYS = ("server", "browser")

EVENT = {"userId": "u1", "event": "A", "groupId": "g", "previousId": "u0", "batch": []}

# (method, path, who gets in, status for them, status for all others)
OPERATIONS = [
    *[("POST", path, KEYS, 200, 401) for path in PATHS],
    ("GET", "/v1/profiles/u1", ("server",), 200, 401),
    ("GET", "/v1/placements?anonymousId=u1", KEYS, 200, 401),
    ("GET", "/v1/placements?userId=u1", KEYS, 200, 401),
    ("OPTIONS", "/v1/placements", CREDENTIALS, 204, 204),
    ("POST", "/v1/placements/events", CREDENTIALS, 400, 400),
    ("OPTIONS", "/v1/placements/events", CREDENTIALS, 204, 204),
    ("POST", "/v1/campaigns/none/trigger", ("server",), 400, 401),
    # Without a release nothing is served: 503 is what those who may ask are told.
    ("POST", "/ofrep/v1/evaluate/flags/button", KEYS, 503, 401),
    ("OPTIONS", "/ofrep/v1/evaluate/flags/button", CREDENTIALS, 204, 204),
    ("POST", "/ofrep/v1/evaluate/flags", KEYS, 503, 401),
    ("OPTIONS", "/ofrep/v1/evaluate/flags", CREDENTIALS, 204, 204),
    ("GET", "/ofrep/v1/events?token=guess", (), 200, 401),
    ("GET", "/api/features/{key in path}", (), 503, 401),
    ("GET", "/sub/{key in path}", (), 200, 401),
    ("POST", "/api/eval/{key in path}", (), 503, 401),
    ("POST", "/v1/assignments:batch", ("server",), 503, 401),
    ("POST", "/v1/exposures", KEYS, 503, 401),
    ("OPTIONS", "/v1/exposures", CREDENTIALS, 204, 204),
    ("GET", "/healthz", CREDENTIALS, 200, 200),
    ("GET", "/readyz", CREDENTIALS, 503, 503),
    ("GET", "/metrics", CREDENTIALS, 200, 200),
    ("GET", "/u/{unsubscribe}", CREDENTIALS, 404, 404),
    ("POST", "/u/{unsubscribe}", CREDENTIALS, 404, 404),
    ("GET", "/preferences/{preferences}", CREDENTIALS, 404, 404),
    ("POST", "/preferences/{preferences}", CREDENTIALS, 404, 404),
    ("GET", "/confirm/{confirm}", CREDENTIALS, 404, 404),
    ("POST", "/confirm/{confirm}", CREDENTIALS, 404, 404),
    ("GET", "/t/c/{click}", CREDENTIALS, 404, 404),
    ("GET", "/t/o/{open}", CREDENTIALS, 200, 200),
    ("POST", "/webhooks/email", CREDENTIALS, 503, 503),
    ("GET", "/webhooks/email", CREDENTIALS, 503, 503),
    ("POST", "/local/status", ("local token",), 200, 401),
    ("GET", "/", ("page token",), 200, 401),
    ("GET", "/messages", ("page token",), 200, 401),
    ("GET", "/deliverability", ("page token",), 200, 401),
    ("GET", "/messages/1", ("page token",), 404, 401),
    ("GET", "/profiles?id=u1", ("page token",), 200, 401),
    ("GET", "/reports/none.html", ("page token",), 404, 401),
]
FORBIDDEN = {
    ("GET", "/v1/profiles/u1", "browser"): 403,
    ("GET", "/v1/placements?userId=u1", "browser"): 403,
    ("POST", "/v1/campaigns/none/trigger", "browser"): 403,
    ("POST", "/v1/assignments:batch", "browser"): 403,
}


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    with an_app(database, tmp_path, local={"status": lambda _payload: {}}) as made:
        made.post("/v1/identify", {"userId": "u1", "traits": {"email": "ada@example.com"}})
        yield made


def headers_of(app: App, credential: str) -> dict[str, str]:
    match credential:
        case "none":
            return {}
        case "wrong key":
            return basic("sk_" + "0" * 60)
        case "revoked":
            return basic("revoked")
        case "browser":
            return basic(app.browser_key)
        case "server":
            return basic(app.server_key)
        case "page token":
            return {"Cookie": f"{COOKIE}={PAGE_TOKEN}"}
        case _:
            return {"Authorization": f"Bearer {LOCAL_TOKEN}"}


def test_every_operation_admits_exactly_the_credentials_of_its_row(app: App) -> None:
    for method, path, admitted, status, otherwise in OPERATIONS:
        for credential in CREDENTIALS:
            expected = FORBIDDEN.get(
                (method, path, credential), status if credential in admitted else otherwise
            )
            filled = re.sub(r"\{[\w ]+\}", "x" * 39, path)
            content = {"json": EVENT} if method == "POST" else {}

            answer = app.client.request(
                method, filled, headers=headers_of(app, credential), **content
            )

            assert answer.status_code == expected, (method, path, credential, answer.text)


def test_no_route_of_the_app_is_missing_from_the_table(app: App) -> None:
    made = create_app(app.services)

    paths = {route.path for route in made.router.routes if isinstance(route, Route)}

    listed = {path.split("?")[0] for _, path, *_ in OPERATIONS}
    named = {
        path.replace("{token}", "").replace("{name}/trigger", "none/trigger")
        .replace("{id:int}", "1").replace("{id:path}", "u1")
        .replace("{name}", "").replace("{channel}", "email").replace("flags/{key}", "flags/button")
        .replace("{client_key}", "").rstrip("/")
        for path in paths
    }  # fmt: skip
    framework = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
    missing = {
        name
        for name in named - framework
        if not any(path == (name or "/") or path.startswith(f"{name}/") for path in listed)
    }
    assert missing == set()


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_in_the_path_or_of_the_api_key_header_is_a_key_as_any_other(
    app: App, kind: str
) -> None:
    key = app.server_key if kind == "server" else app.browser_key

    answers = [
        app.client.get(f"/api/features/{key}"),
        app.client.post(f"/api/eval/{key}", json={}),
        app.client.post("/ofrep/v1/evaluate/flags", json={}, headers={"X-API-Key": key}),
        app.client.post("/v1/exposures", json=EVENT, headers={"X-API-Key": key}),
    ]

    assert [it.status_code for it in answers] == [503] * 4, "known, but nothing is applied"


def test_a_key_stops_working_when_it_is_revoked(app: App) -> None:
    with app.database.write() as connection:
        connection.execute("UPDATE write_key SET revoked_at = 1 WHERE kind = 'browser'")
    app.services.keys.forget()

    answer = app.post("/v1/track", EVENT, key=app.browser_key)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert answer.json()["field"] == "writeKey"


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic ???", "Basic /w==", "Digest abc", "Bearer", "basic ", "\xff\xfe"],
)
def test_a_broken_authorization_header_is_401_and_says_what_is_allowed(
    app: App, authorization: str
) -> None:
    answer = app.client.post(
        "/v1/track", json=EVENT, headers={"Authorization": authorization.encode("latin-1")}
    )

    assert answer.status_code == 401, answer.text
    assert len(answer.json()["detail"]) > 20


def test_unknown_keys_do_not_make_us_ask_the_database_each_time(app: App) -> None:
    asked = 0
    load = app.services.keys._load

    def counting() -> object:
        nonlocal asked
        asked += 1
        return load()

    app.services.keys._load = counting  # type: ignore[assignment,method-assign]

    for number in range(50):
        app.post("/v1/track", EVENT, key=f"guess-{number}")

    assert asked <= 3


def test_local_work_is_refused_to_any_browser(app: App) -> None:
    headers = {"Authorization": f"Bearer {LOCAL_TOKEN}", "Origin": "http://127.0.0.1:8321"}

    answer = app.client.post("/local/status", json={}, headers=headers)

    assert answer.status_code == 401
