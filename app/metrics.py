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
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.parts import Parts, parts
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
        took_s = time.monotonic() - request.environ["parley.begun"]
        if "Sec-WebSocket-Key" not in request.headers:
            SECONDS.labels(method, route).observe(took_s)
        what = {"method": method, "route": route, "status": response.status_code, "ms": round(1000 * took_s)}
        level = logging.INFO if response.status_code >= 500 else logging.DEBUG
        log.log(level, "%(method)s %(route)s %(status)s after %(ms)s ms", what)
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
    registry.register(Shared(parts()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Shared(Collector):
    """What every web process tells alike: which parts answer, and what the scripts in Redis have counted."""

    def __init__(self, of: Parts) -> None:
        self._readiness, self._store = of.readiness, of.store

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("parley_up", "Whether a part answers, 1 or 0.", labels=["part"])
        states = self._readiness.states()
        for part, state in states.items():
            up.add_metric([part], state == "ok")
        yield up
        if states["redis"] == "ok":
            # It may go in between; a scrape that fails for it is told by Prometheus itself.
            yield from self._turns()

    def _turns(self) -> Iterator[Metric]:
        buckets = zip(keys.counts(), keys.indexes(), strict=True)
        asked = [(how, key) for counts, (ready, leased) in buckets for how, key in
                 (("HGETALL", counts), ("ZCARD", ready), ("ZCARD", leased))]  # fmt: skip
        answers = self._store.execute_all(*asked)
        sums: Sums[str] = Sums()
        for found in answers[::3]:
            sums.update({name: int(n) for name, n in found.items()})
        ended = CounterMetricFamily("parley_turns", "Turns that ended.", labels=["outcome", "code"])
        for name in sums:
            if name.startswith("turns:"):
                ended.add_metric(name.split(":")[1:], sums[name])
        yield ended
        yield CounterMetricFamily("parley_recoveries", "Turns begun anew.", sums["recoveries"])
        yield CounterMetricFamily(
            "parley_fenced", "Writes refused to workers that had lost their turn.", sums["fenced"]
        )
        yield _histogram("parley_queue_wait_seconds", "From a message to its turn's first begin.", "waited", sums)
        yield _histogram("parley_first_delta_seconds", "From a message to its reply's first delta.", "first_text", sums)
        at = GaugeMetricFamily(
            "parley_conversations", "Conversations with work, by what they wait for.", labels=["for"]
        )
        at.add_metric(["worker"], sum(answers[1::3]))
        at.add_metric(["model"], sum(answers[2::3]))
        yield at


def _histogram(name: str, about: str, counted_as: str, sums: Sums[str]) -> HistogramMetricFamily:
    within, buckets = 0, []
    for limit in (*LIMITS_MS, "inf"):
        within += sums[f"{counted_as}:{limit}"]
        buckets.append(("+Inf" if limit == "inf" else str(int(limit) / 1000), within))
    return HistogramMetricFamily(name, about, buckets=buckets, sum_value=sums[f"{counted_as}:sum"] / 1000)
