"""How gunicorn serves the web process: everything comes from the settings in chat/config.py."""

import sys

from chat.config import from_environ
from chat.errors import ConfigError

try:
    # Not "config": gunicorn has a setting of that name.
    settings = from_environ()
except ConfigError as error:
    sys.exit(f"Parley cannot start: {error}")
if not settings.secret_key:
    sys.exit("Parley cannot start: SECRET_KEY is not set; give it a long random value and keep it.")

bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = settings.web_concurrency
worker_class = "gevent"
# Each stream and each socket holds a connection for as long as somebody watches.
worker_connections = 10_000
# Longer than the idle time-outs of the usual proxies (60 s), so that it is never us who close a connection they reuse.
keepalive = 75
# Platforms kill what is still there 30 s after SIGTERM.
graceful_timeout = 20
loglevel = settings.log_level
# Nobody needs it, and two servers of one user would quarrel over its path.
control_socket_disable = True
