"""Is it alive, is it ready, how is it doing: for load balancers and Prometheus."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.core.model.instants import SECOND, Instant
from engine.sending.lanes import PaceState
from engine.web.callbacks import Ears
from engine.web.gauges import Overview
from engine.web.problem import Refusal
from engine.web.services import in_reader, services_of
from engine.web.traffic import Traffic

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(_request: Request) -> Response:
    """200 as long as the process answers at all."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 when events can be taken and played; 503 with the reason until then."""
    reason = services_of(request).not_ready()
    if reason:
        raise Refusal(503, "not_ready", reason, retry_after_seconds=1)
    return PlainTextResponse("ready\n")


async def metrics(request: Request) -> Response:
    """Prometheus text."""
    services = services_of(request)
    traffic: Traffic = request.app.state.traffic
    overview = await in_reader(services, services.gauges.overview)
    lines: list[str] = []
    for name, n in traffic.events.items():
        lines += _family(f"antiphon_events_{name}_total", "counter", _EVENTS[name], {"": n})
    statuses = {f'{{status="{status}"}}': n for status, n in sorted(traffic.answers.items())}
    lines += _family("antiphon_http_answers_total", "counter", "Tracking answers.", statuses)
    lines += _family(
        "antiphon_queue_events", "gauge", "Events waiting for commit.", {"": services.waiting()}
    )
    lines += _family(
        "antiphon_commit_wait_seconds",
        "gauge",
        "How long the last answered request waited for its commit.",
        {"": traffic.commit_wait_seconds},
    )
    lines += _family(
        "antiphon_tick_lag_seconds",
        "gauge",
        "Age of the oldest event or timer not played yet.",
        {"": services.tick_lag_seconds()},
    )
    by_status = {f'{{status="{status}"}}': n for status, n in sorted(overview.statuses.items())}
    lines += _family("antiphon_messages", "gauge", "Messages by status.", by_status)
    lines += _family("antiphon_profiles", "gauge", "Profiles.", {"": overview.profiles})
    lines += _family("antiphon_parked", "gauge", "Items put aside.", {"": overview.parked})
    lines += _family(
        "antiphon_approximate_features_total",
        "counter",
        "Features of profiles that passed a limit: their verdicts are approximate for a while.",
        {"": overview.approximate},
    )
    lines += _family(
        "antiphon_misreported_exposures_total",
        "counter",
        "Exposures that clients reported and that were not taken, by the reason.",
        {
            _labels(experiment=experiment, reason=why): n
            for (why, experiment), n in sorted(overview.misreports.items())
        },
    )
    lines += _callbacks(request.app.state.ears)
    lines += _lanes(overview, services.lanes(), now=services.clock())
    return Response("\n".join(lines) + "\n", media_type=METRICS_TYPE)


ROUTES: Final = [
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]

_EVENTS: Final = {
    "accepted": "Events committed.",
    "duplicates": "Events whose messageId was known.",
    "rejected": "Events refused, each with its reason.",
}


def _callbacks(ears: Ears) -> Iterator[str]:
    """What providers told us since this process began."""
    yield from _family(
        "antiphon_callbacks_total",
        "counter",
        "Callbacks of providers by what they were answered.",
        {_labels(channel=c, outcome=it): n for (c, it), n in sorted(ears.answers.items())},
    )
    yield from _family(
        "antiphon_callback_events_total",
        "counter",
        "Events in callbacks: kinds, and those that were repeated, foreign or stray.",
        {_labels(channel=c, event=it): n for (c, it), n in sorted(ears.events.items())},
    )


def _lanes(overview: Overview, paces: Sequence[PaceState], *, now: Instant) -> Iterator[str]:
    """How sending is doing: what waits in each lane, and what its provider lets through."""
    waiting = {_labels(channel=c, lane=lane): it for (c, lane), it in overview.lanes.items()}
    yield from _family(
        "antiphon_lane_queued",
        "gauge",
        "Messages waiting in a lane.",
        {labels: it.n_queued for labels, it in waiting.items()},
    )
    yield from _family(
        "antiphon_lane_oldest_seconds",
        "gauge",
        "How long the oldest message of a lane has been due.",
        {labels: it.oldest_seconds for labels, it in waiting.items()},
    )
    yield from _family(
        "antiphon_lane_calls_in_flight",
        "gauge",
        "Attempts that are open.",
        {
            _labels(channel=it.channel, lane=lane): n
            for it in paces
            for lane, n in it.calls_in_flight.items()
        },
    )
    yield from _family(
        "antiphon_channel_breaker",
        "gauge",
        "1 for the state that a provider's breaker is in.",
        {_labels(channel=it.channel, state=it.breaker): 1 for it in paces},
    )
    yield from _family(
        "antiphon_channel_rests_seconds",
        "gauge",
        "How long no call is made yet: the breaker is open, or the provider asked for it.",
        {
            _labels(channel=it.channel): (it.opens_at - now) / SECOND if it.opens_at else 0.0
            for it in paces
        },
    )
    yield from _family(
        "antiphon_channel_rate_per_second",
        "gauge",
        "The most calls a second, where antiphon.yaml says so.",
        {_labels(channel=it.channel): r for it in paces if (r := it.rate_per_second) is not None},
    )


def _labels(**values: str) -> str:
    """Names of channels are slugs: nothing in them needs to be escaped."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in values.items()) + "}"


def _family(name: str, kind: str, help_text: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{labels} {value:g}" if isinstance(value, float) else f"{name}{labels} {value}"
