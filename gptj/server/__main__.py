"""Starts the model server: `python -m gptj.server --port 8001`; which model and how, the settings GPTJ_… say.

gunicorn's threaded worker carries it: CTranslate2 wants real threads; it streams at once, keeps connections alive
(werkzeug's server does not) and shows the socket, so that a client that hangs up is noticed (waitress does not).
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing.connection import wait
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from chat.config import Config, from_environ
from chat.errors import ConfigError
from gptj.server import exchange
from gptj.server.engine import Engine
from gptj.server.web import create_app

STOP_S = 20  # as long as a reply may still take; who started this one may well be less patient


class Connection(socket.socket):
    """A client's: who has not sent a whole request within SEND_S counts as gone, also who sends it bit by bit."""

    until: float

    def recv(self, *args: int) -> bytes:
        late = self.gettimeout() is None and not wait([self], self.until - time.monotonic())
        return b"" if late else super().recv(*args)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, but one that refuses new connections and replies while it finishes what runs.

    The original leaves them waiting, until they are reset with the last reply: to a client that looks like a crash.
    It also waits for the rest of a request for ever.
    """

    def handle(self, conn: Any) -> Any:
        if not conn.initialized:
            conn.sock = Connection(fileno=conn.sock.detach())
        conn.sock.until = time.monotonic() + exchange.SEND_S
        return super().handle(conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()
            self.wsgi.extensions["engine"].ready.clear()


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker; BaseApplication reads neither its environment variables nor its files."""

    def __init__(self, config: Config, address: str) -> None:
        self._config, self._address = config, address
        super().__init__()

    def load_config(self) -> None:
        # More threads than slots, so that there is always one to refuse with.
        settings = {
            "bind": self._address, "worker_class": Worker, "workers": 1, "keepalive": 75, "timeout": 0,
            "threads": self._config.gptj_slots + 32, "worker_connections": 2 * self._config.gptj_slots + 1000,
            "graceful_timeout": STOP_S, "loglevel": "warning", "control_socket_disable": True,
        }  # fmt: skip
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Called in the worker: what CTranslate2 starts would not survive a fork."""
        engine = Engine(self._config)
        threading.Thread(target=_load, args=[engine], daemon=True).start()
        return create_app(engine)


def _load(engine: Engine) -> None:
    try:
        engine.load()
    except (RuntimeError, ValueError, OSError) as error:
        how = f"GPTJ_DEVICE={engine.config.gptj_device} GPTJ_COMPUTE={engine.config.gptj_compute}"
        print(f"GPTJ_PATH={engine.folder} cannot be loaded with {how}: {error}", file=sys.stderr, flush=True)
        os._exit(3)  # gunicorn's WORKER_BOOT_ERROR, which ends it too, instead of trying again for ever


def main() -> None:
    """Read the flags and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m gptj.server", description="Serve a GPT-J checkpoint.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    args = parser.parse_args()
    try:
        config = from_environ()
    except ConfigError as error:
        parser.error(error.detail)
    if args.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    Server(config, f"[{args.host}]:{args.port}").run()  # gunicorn takes the brackets off any host


def _end_with_stdin() -> None:
    """A pipe closes also when its other end was killed, and on every system."""
    while os.read(0, 1024):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
