"""Starts the model server: `python -m gptj.server --port 8001 [--model DIR]`.

gunicorn's threaded worker carries it: CTranslate2 wants real threads; it streams at once, keeps connections alive
(werkzeug's server does not) and shows the socket, so that a client that hangs up is noticed (waitress does not).
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from gptj.server.engine import Engine, Options
from gptj.server.web import create_app

TINY = Path(__file__).resolve().parent.parent / "tiny"
STOP_S = 5


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, but one that refuses new connections while it finishes what runs.

    The original leaves them waiting, until they are reset with the last reply: to a client that looks like a crash.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker; BaseApplication reads neither its environment variables nor its files."""

    def __init__(self, options: Options, address: str) -> None:
        self._options, self._address = options, address
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": self._address,
            "worker_class": Worker,
            "workers": 1,
            # More than the slots, so that there is always a thread to refuse with.
            "threads": self._options.slots + 32,
            "worker_connections": 2 * self._options.slots + 1000,
            "keepalive": 75,
            "timeout": 0,
            "graceful_timeout": STOP_S,
            "loglevel": "warning",
            "proc_name": "gptj.server",
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Called in the worker: what CTranslate2 starts would not survive a fork."""
        engine = Engine(self._options)
        threading.Thread(target=_load, args=[engine], daemon=True).start()
        return create_app(engine)


def _load(engine: Engine) -> None:
    try:
        engine.load()
    except (RuntimeError, ValueError, OSError) as error:
        print(f"The model in {engine.options.folder} cannot be loaded: {error}", file=sys.stderr, flush=True)
        os._exit(Arbiter.WORKER_BOOT_ERROR)  # which ends gunicorn too, instead of trying again for ever


def main() -> None:
    """Read the flags and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m gptj.server", description="Serve a GPT-J checkpoint.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model", type=Path, default=TINY, help="a folder in CTranslate2's format with tokenizer.json")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--compute-type", default="default", help="int8, int8_float16, float16, float32, ...")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="replies computed at once")
    parser.add_argument("--threads-per-reply", type=int, default=1, help="one is best for a tiny model")
    parser.add_argument("--slots", type=int, default=64, help="replies computed or waiting; more get 429")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    args = parser.parse_args()
    missing = [name for name in ("model.bin", "config.json", "tokenizer.json") if not (args.model / name).is_file()]
    if missing:
        parser.error(f"{args.model} has no {', '.join(missing)}")
    if min(args.threads, args.threads_per_reply, args.slots) < 1:
        parser.error("threads and slots must be at least 1")
    options = Options(
        args.model, args.device, args.compute_type, args.threads, args.threads_per_reply, max(args.slots, args.threads)
    )
    if args.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    Server(options, f"{args.host}:{args.port}").run()


def _end_with_stdin() -> None:
    """A pipe closes also when its other end was killed, and on every system."""
    while os.read(0, 1024):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
