"""Clients that we did not write, against a real server: GrowthBook's SDK and OpenFeature's."""

import json
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from growthbook import GrowthBook
from growthbook.growthbook import feature_repo

from experiments.assignment import assign
from tests.engine.flag_shop import KINDS, FlagShop, a_flag_shop
from tests.engine.flag_stage import an_experiment

N_UNITS = 3_000
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlagShop]:
    with a_flag_shop(tmp_path_factory.mktemp("flags"), *KINDS) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    """GrowthBook's SDK keeps one store for all its instances."""
    yield
    feature_repo.clear_cache()


def planned(unit: str, name: str) -> str:
    found = assign(unit, seed=name, variants=("control", "green"), weights=(1, 1)).variant
    assert found is not None
    return found


def eventually(asks: Callable[[], bool], *, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if asks():
            return True
        time.sleep(0.05)
    return False


# --- GrowthBook -----------------------------------------------------------------------------------


def an_sdk(shop: FlagShop, **more: Any) -> GrowthBook:
    return GrowthBook(api_host=shop.url, client_key=shop.browser_key, cache_ttl=1, **more)


def test_growthbooks_sdk_loads_the_payload_and_agrees_on_thousands(shop: FlagShop) -> None:
    sdk = an_sdk(shop)
    sdk.load_features()
    names = {"button", "is-new", "price", "count", "layout"}

    assert sdk.get_features().keys() == names
    for number in range(N_UNITS):
        unit = f"visitor-{number}-é"
        sdk.set_attributes({"anonymousId": unit, "country": "CA"})
        for name in names:
            found = sdk.eval_feature(name).experimentResult
            assert found is not None
            assert found.key == planned(unit, name), (unit, name)
    sdk.set_attributes({"anonymousId": "v1", "country": "FR"})
    assert sdk.eval_feature("button").source == "defaultValue"
    sdk.destroy()


def test_growthbooks_sdk_is_told_that_nothing_changed(
    shop: FlagShop, caplog: pytest.LogCaptureFixture
) -> None:
    sdk = an_sdk(shop)
    sdk.load_features()
    before = sdk.get_features().keys()

    with caplog.at_level(logging.DEBUG, logger="growthbook"):
        sdk.load_features(force_refresh=True)

    assert "304 Not Modified" in caplog.text
    assert sdk.get_features().keys() == before
    sdk.destroy()


def test_growthbooks_sdk_evaluates_remotely_and_reports_through_the_tracking_api(
    shop: FlagShop,
) -> None:
    """What its callback gives goes to /v1/track as it is; the exposure is the unit's own."""
    unit = "remote-1"

    def tell(experiment: Any, result: Any, user_context: Any) -> None:
        properties = {"experiment_id": experiment.key, "variation_id": result.key}
        posted(
            shop, "/v1/track",
            {"anonymousId": unit, "event": "Experiment Viewed", "properties": properties},
        )  # fmt: skip

    sdk = an_sdk(
        shop,
        attributes={"anonymousId": unit, "country": "US"},
        remoteEval=True,
        on_experiment_viewed=tell,
    )
    sdk.load_features()
    value = sdk.get_feature_value("button", "none")

    assert value == {"control": "blue", "green": "green"}[planned(unit, "button")]
    assert eventually(lambda: kept(shop, unit).get("sticky", False)), "the server knows it now"
    assert kept(shop, unit)["experiment"] == "button"
    sdk.destroy()


def test_growthbooks_sdk_hears_of_an_apply_over_its_stream(tmp_path: Path) -> None:
    with a_flag_shop(tmp_path, an_experiment()) as shop:
        sdk = an_sdk(shop, attributes={"anonymousId": "v1"}, streaming=True)
        sdk.load_features()
        assert sdk.eval_feature("button").source == "experiment"
        time.sleep(1)  # the stream is opened on a thread of the SDK's own

        shop.apply(an_experiment(more="state: stopped\nwinner: green\n"))

        assert eventually(lambda: sdk.eval_feature("button").source == "defaultValue")
        assert sdk.get_feature_value("button", "none") == "green"
        started = time.monotonic()
        assert shop.served.terminate() == 0
        assert time.monotonic() - started < 10, "an open stream does not hold up a stop"
        sdk.destroy(timeout=1)


# --- OpenFeature ----------------------------------------------------------------------------------


@pytest.fixture
def openfeature(shop: FlagShop) -> Iterator[Any]:
    api = pytest.importorskip("openfeature.api", reason="openfeature-sdk is not installed")
    ofrep = pytest.importorskip(
        "openfeature.contrib.provider.ofrep",
        reason="openfeature-provider-ofrep is not installed",
    )
    headers = {"Authorization": f"Bearer {shop.server_key}"}
    api.set_provider(ofrep.OFREPProvider(shop.url, headers_factory=lambda: headers))
    yield api.get_client()
    api.shutdown()


def about(unit: str, **attributes: Any) -> Any:
    from openfeature.evaluation_context import EvaluationContext

    return EvaluationContext(targeting_key=unit, attributes=attributes)


def test_openfeature_gets_every_kind_of_value_with_its_variant_and_reason(
    openfeature: Any,
) -> None:
    values = {
        "button": ("get_string_details", {"control": "blue", "green": "green"}, "none"),
        "is-new": ("get_boolean_details", {"control": False, "green": True}, False),
        "price": ("get_float_details", {"control": 1.0, "green": 1.5}, 9.9),
        "count": ("get_integer_details", {"control": 3, "green": 5}, 9),
        "layout": (
            "get_object_details",
            {"control": {"columns": 2}, "green": {"columns": 3, "big": True}},
            {},
        ),
    }
    for number in range(40):
        unit = f"v{number}"
        for name, (method, by_variant, default) in values.items():
            found = getattr(openfeature, method)(name, default, about(unit, country="US"))

            variant = planned(unit, name)
            assert found.error_code is None, (name, found)
            assert (found.value, found.variant) == (by_variant[variant], variant)
            assert found.reason == "SPLIT"
            assert found.flag_metadata["probability"] == 0.5


def test_openfeature_falls_back_and_says_why(openfeature: Any, shop: FlagShop) -> None:
    from openfeature.contrib.provider.ofrep import OFREPProvider
    from openfeature.exception import OpenFeatureError

    unknown = openfeature.get_string_details("no-such", "mine", about("v1"))
    mistyped = openfeature.get_boolean_details("button", True, about("v1", country="US"))
    nobody = openfeature.get_string_details("button", "mine", about(""))
    hostile = openfeature.get_string_details("button", "mine", about("x" * 300))
    outside = openfeature.get_string_details("button", "mine", about("v1", country="FR"))
    stranger = OFREPProvider(shop.url, headers_factory=lambda: {"X-API-Key": "sk_unknown"})
    known = OFREPProvider(shop.url, headers_factory=lambda: {"X-API-Key": shop.server_key})

    assert (unknown.value, unknown.error_code) == ("mine", "FLAG_NOT_FOUND")
    assert (mistyped.value, mistyped.error_code) == (True, "TYPE_MISMATCH")
    assert (nobody.value, nobody.error_code) == ("mine", "TARGETING_KEY_MISSING")
    assert (hostile.value, hostile.error_code) == ("mine", "INVALID_CONTEXT")
    assert (outside.value, outside.reason, outside.variant) == ("blue", "DEFAULT", "")
    with pytest.raises(OpenFeatureError, match="unauthorized"):
        stranger.resolve_string_details("button", "mine", about("v1"))
    assert known.resolve_integer_details("count", 9, about("v1")).value in (3, 5)


def test_the_pages_of_the_docs_are_what_clients_run(openfeature: Any, shop: FlagShop) -> None:
    text = (DOCS / "flags.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    told: list[Any] = []
    names: dict[str, Any] = {"analytics": SimpleNamespace(track=lambda **it: told.append(it))}
    for code in (first, second):
        mine = code.replace("http://127.0.0.1:8321", shop.url).replace("streaming=True,", "")
        mine = mine.replace("sk_…", shop.server_key).replace("wk_…", shop.browser_key)
        exec(mine.replace("free-delivery-banner", "button"), names)

    value = names["sdk"].get_feature_value("button", "none")

    assert (
        names["banner"] == value == {"control": "blue", "green": "green"}[planned("v1", "button")]
    )
    assert [it["properties"] for it in told] == [
        {"experiment_id": "button", "variation_id": planned("v1", "button")}
    ]
    names["sdk"].destroy()


# --- streams --------------------------------------------------------------------------------------


def test_a_stream_of_changes_needs_its_token_and_speaks_at_once(shop: FlagShop) -> None:
    told = posted(shop, "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "v1"}})
    uri = told["eventStreams"][0]["endpoint"]["requestUri"]

    with urllib.request.urlopen(shop.url + uri, timeout=10) as stream:
        first = stream.readline()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{shop.url}/ofrep/v1/events?token=guess", timeout=10)

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert first == b"retry: 2000\n"
    assert refused.value.code == 401


def posted(shop: FlagShop, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        shop.url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {shop.server_key}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def kept(shop: FlagShop, unit: str) -> Any:
    context = {"targetingKey": unit, "country": "US"}
    return posted(shop, "/ofrep/v1/evaluate/flags/button", {"context": context})["metadata"]
