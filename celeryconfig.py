"""Celery's settings. The queue is a doorbell: nothing here is relied on for a message to be answered."""

import logging
from logging.config import dictConfig
from typing import Any

from celery.signals import celeryd_init, setup_logging

import logs
from chat.config import from_environ
from chat.errors import ConfigError
from tasks.broker import address, transport_options

try:
    _config = from_environ()
    broker_url = address(_config)
    broker_transport_options = transport_options(_config)
except ConfigError as error:
    raise SystemExit(f"parley: {error.detail}") from None

worker_concurrency = _config.worker_concurrency
# A ring that waits behind others in a busy worker expires; the fewer of them the better.
worker_prefetch_multiplier = 1
worker_disable_rate_limits = True
worker_send_task_events = False
worker_redirect_stdouts = False
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

task_default_queue = "parley"
task_ignore_result = True
task_publish_retry = False
task_serializer = "json"
accept_content = ["json"]


@celeryd_init.connect
@setup_logging.connect
def log(**_: Any) -> None:
    """Log in the worker as the web process does, from its first warning on, instead of as Celery would."""
    logging.captureWarnings(True)
    dictConfig(logs.settings(_config))
    logs.catch()
