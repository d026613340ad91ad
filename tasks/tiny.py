"""The tiny GPT-J, started beside a worker that was given no MODEL_URL."""

import logging
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event as Flag
from threading import Thread

AGAIN_S = 1.0

log = logging.getLogger(__name__)


class Server:
    """A model server of this worker's own, started again when it dies, ended with the worker.

    It ends when its standard input does, so it goes also when this process is killed.
    """

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._ended = Flag()
        self._popen: subprocess.Popen[bytes] | None = None
        log.warning("MODEL_URL is not set: a tiny demo GPT-J answers, started beside this worker at %s", self.url)
        Thread(target=self._keep, daemon=True, name="tiny").start()

    def leave(self) -> None:
        """Start it no more; what runs may end."""
        self._ended.set()

    def end(self) -> None:
        self._ended.set()
        if self._popen:
            self._popen.terminate()

    def _keep(self) -> None:
        command = [sys.executable, "-m", "gptj.server", "--port", self._port, "--until-stdin-closes"]
        while not self._ended.is_set():
            self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[1])
            status = self._popen.wait()
            if not self._ended.is_set():
                log.error("the tiny GPT-J ended with status %s; it is started again", status)
                time.sleep(AGAIN_S)
