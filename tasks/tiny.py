"""A GPT-J of ours, the tiny one or that of GPTJ_PATH, started beside a worker that was given no MODEL_URL."""

import logging
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread

from chat.config import Config

AGAIN_S = 1.0
CONTEXT_TOKENS = 1024  # what the tiny one takes

log = logging.getLogger(__name__)


def start(config: Config, leaving: Flag) -> Config:
    """Start a model server of this worker's own, again when it dies, and return the settings with its URL.

    It ends when its standard input does: with this process, even where that is killed, and not before its last reply.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    model = config.gptj_path or "a tiny demo GPT-J"
    log.warning("MODEL_URL is not set: %s answers, started beside this worker at %s", model, url)
    Thread(target=_keep, args=(port, leaving), daemon=True, name="tiny").start()
    most = config.model_context_tokens if config.gptj_path else min(config.model_context_tokens, CONTEXT_TOKENS)
    return replace(config, model_url=url, model_protocol="", model_context_tokens=most)


def _keep(port: str, leaving: Flag) -> None:
    command = [sys.executable, "-m", "gptj.server", "--port", port, "--until-stdin-closes"]
    while not leaving.is_set():
        server = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[1])
        status = server.wait()
        if not leaving.is_set():
            log.error("the model server ended with status %s; it is started again", status)
            time.sleep(AGAIN_S)
