"""The web process's entry: `gunicorn wsgi:app`. Settings come from the environment alone."""

import logging
import sys

from flask import Flask

from chat.config import from_environ
from chat.errors import ConfigError, StoreUnavailable, StoreUnsuitable
from chat.store import Store, check

# gunicorn's own status for an application that cannot be loaded: it then ends instead of trying again for ever.
CANNOT_START = 4


def start() -> Flask:
    """Make the application. A wrong setting or an unsuitable Redis ends the process with one line."""
    try:
        config = from_environ()
        if not config.secret_key:
            raise ConfigError("SECRET_KEY is not set; give it a long random value and keep it.")
        store = Store(config)
        check(store)
    except (ConfigError, StoreUnsuitable) as error:
        print(f"Parley cannot start: {error.detail}", file=sys.stderr)
        raise SystemExit(CANNOT_START) from None
    except StoreUnavailable:
        logging.getLogger(__name__).warning("Redis does not answer yet; requests get 503 until it does.")
    # Imported only now, as Celery reads the settings when it is imported, and would fail less clearly.
    from app import create_app

    return create_app(config, store)


app = start()
