"""What Prometheus asks for: GET /metrics counts for all processes of this server, and the turns of all workers."""

import hmac
import logging
import os
import re
import time
from collections import Counter as Sums
from collections.abc import Generator, Iterator
from contextlib import closing
from uuid import uuid4

from flask import Blueprint, Flask, Response, abort, request
from prometheus_client import CONTENT_TYPE_LATEST as FORMAT
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.parts import parts
from chat import keys
from chat.events import Event
from chat.trace import request_id

blueprint = Blueprint("metrics", __name__)
REQUESTS = Counter("parley_requests", "Requests, by the route's pattern.", ["method", "route", "status"])
SECONDS = Histogram("parley_request_seconds", "Seconds until an answer began.", ["method", "route"])
STREAMS = Gauge("parley_open_streams", "Streams of events.", ["transport"], multiprocess_mode="livesum")
SENT = Counter("parley_events_sent", "Events handed to streams.", ["transport"])
# All of them from the beginning, so that none open is 0 and not nothing.
for _transport in ("sse", "turn", "websocket", "poll"):
    STREAMS.labels(_transport)
# The limits of the waits that chat/lua/conversation.lua counts.
LIMITS_MS = [50 * 2**n for n in range(12)]
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Give each request an id, its own if it has a sound one, and count it."""

    @app.before_request
    def name() -> None:
        given = request.headers.get("X-Request-ID", "")
        request_id.set(given if _REQUEST_ID.fullmatch(given) else uuid4().hex)

    @app.after_request
    def count(response: Response) -> Response:
        # What a client makes up, paths and methods, would make ever more series.
        method, route = (request.method, request.url_rule.rule) if request.url_rule else ("any", "unknown")
        REQUESTS.labels(method, route, response.status_code).inc()
        if "Sec-WebSocket-Key" not in request.headers:
            SECONDS.labels(method, route).observe(time.monotonic() - request.environ["parley.begun"])
        log.debug("%s %s %s", method, route, response.status_code)
        response.headers["X-Request-ID"] = request_id.get()
        return response


def counted(transport: str, events: Generator[Event | None]) -> Generator[Event | None]:
    """These events, counted, of a stream that counts as open until it is closed."""
    sent = SENT.labels(transport)
    with STREAMS.labels(transport).track_inprogress(), closing(events):
        for event in events:
            if event:
                sent.inc()
            yield event


@blueprint.get("/metrics")
def metrics() -> Response:
    """In Prometheus' text format, to who has METRICS_TOKEN."""
    token = parts().config.metrics_token
    if not token:
        abort(404)
    if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
        abort(401)
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(Shared())
    return Response(generate_latest(registry), content_type=FORMAT)


class Shared(Collector):
    """What every web process tells alike: which parts answer, and what the scripts in Redis have counted."""

    def collect(self) -> Iterator[Metric]:
        states, store = parts().readiness.states(), parts().store
        up = {part: int(state == "ok") for part, state in states.items()}
        yield _gauge("parley_up", "Whether a part answers, 1 or 0.", "part", up)
        if not up["redis"]:
            return
        sizes = ([("ZCARD", key) for key in index] for index in zip(*keys.indexes(), strict=True))
        at = {part: sum(store.execute_all(*size)) for part, size in zip(("worker", "model"), sizes, strict=True)}
        yield _gauge("parley_conversations", "Conversations with work, by what they wait for.", "for", at)
        sums: Sums[str] = Sums()
        for counted in store.execute_all(*(("HGETALL", key) for key in keys.counts())):
            sums.update({name: int(n) for name, n in counted.items()})
        yield from _of_turns(sums)


def _of_turns(sums: Sums[str]) -> Iterator[Metric]:
    ended = CounterMetricFamily("parley_turns", "Turns that ended.", labels=["outcome", "code"])
    for name in sums:
        if name.startswith("turns:"):
            ended.add_metric(name.split(":")[1:], sums[name])
    yield ended
    yield CounterMetricFamily("parley_recoveries", "Turns begun anew.", sums["recoveries"])
    yield CounterMetricFamily("parley_fenced", "Writes refused to workers that had lost their turn.", sums["fenced"])
    yield _histogram("parley_queue_wait_seconds", "From a message to its turn's first begin.", "waited", sums)
    yield _histogram("parley_first_delta_seconds", "From a message to its reply's first delta.", "first_text", sums)


def _gauge(name: str, about: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, about, labels=[label])
    for value, n in values.items():
        gauge.add_metric([value], n)
    return gauge


def _histogram(name: str, about: str, counted_as: str, sums: Sums[str]) -> HistogramMetricFamily:
    within, buckets = 0, []
    for limit in (*LIMITS_MS, "inf"):
        within += sums[f"{counted_as}:{limit}"]
        buckets.append(("+Inf" if limit == "inf" else str(int(limit) / 1000), within))
    return HistogramMetricFamily(name, about, buckets=buckets, sum_value=sums[f"{counted_as}:sum"] / 1000)
