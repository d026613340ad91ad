"""How gunicorn serves the web process: everything comes from the settings in chat/config.py."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

import logs
from chat.config import from_environ
from chat.errors import ConfigError

# On SIGTERM a connection that waits for its next request is closed after this time.
IDLE_S = 0.5


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, which on SIGTERM also ends its streams and closes its idle connections.

    Both would hold it until graceful_timeout, and the clients of the streams with it.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.idle: dict[gevent.Greenlet, gevent.Timeout] = {}

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """How long a connection may wait for its next request."""
        connection = gevent.getcurrent()
        with gevent.Timeout(self.cfg.keepalive if self.alive else IDLE_S, False) as limit:
            self.idle[connection] = limit
            try:
                yield
            finally:
                del self.idle[connection]

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        # In a greenlet of its own, as a signal handler must not block.
        if self.booted:
            gevent.spawn(self.leave)

    def leave(self) -> None:
        # Imported only now, long after gevent has replaced what it uses.
        from app import leave

        leave(self.wsgi)
        gevent.sleep(IDLE_S)
        self.close_idle()

    def close_idle(self) -> None:
        for connection, limit in self.idle.items():
            # In the event loop, and only if it is idle then too: a request that came before must be answered.
            gevent.get_hub().loop.run_callback(self.close, connection, limit)

    def close(self, connection: gevent.Greenlet, limit: gevent.Timeout) -> None:
        if self.idle.get(connection) is limit:
            connection.throw(limit)


def clear_left() -> None:
    """Remove what masters of this user have left behind that were killed."""
    for left in Path(tempfile.gettempdir()).glob("parley-metrics-*-*"):
        if left.stat().st_uid == os.getuid():
            try:
                os.kill(int(left.name.split("-")[2]), 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)


try:
    # Not "config": gunicorn has a setting of that name.
    settings = from_environ()
except ConfigError as error:
    sys.exit(f"Parley cannot start: {error}")
if not settings.secret_key:
    sys.exit("Parley cannot start: SECRET_KEY is not set; give it a long random value and keep it.")

bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = settings.web_concurrency
worker_class = Worker
# Each stream and each socket holds a connection for as long as somebody watches.
worker_connections = 10_000
# Longer than the idle time-outs of the usual proxies (60 s), so that it is never us who close a connection they reuse.
keepalive = 75
# Platforms kill what is still there 30 s after SIGTERM.
graceful_timeout = 20
loglevel = settings.log_level
logconfig_dict = logs.settings(settings)
# Nobody needs it, and two servers of one user would quarrel over its path.
control_socket_disable = True

# Where the processes of this master leave what /metrics adds up: a new place for each master, the same after a reload.
_own = f"parley-metrics-{os.getpid()}-"
if _own not in os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""):
    clear_left()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=_own)


def post_fork(server: Any, worker: Any) -> None:
    logs.catch()


def child_exit(server: Any, worker: Any) -> None:
    """Count the streams of a process that has ended no more."""
    # Imported only now, as it reads the place when it is imported, and before gevent has replaced what it uses.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
