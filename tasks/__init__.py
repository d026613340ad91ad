"""The worker process: Celery brings the rings, and each one answers a turn."""

from celery import Celery

celery = Celery("parley", include=["tasks.answer"])
celery.config_from_object("celeryconfig")
