"""Makes the database, an account, and the login with which the load generator comes."""

from datetime import timedelta

import project  # noqa: F401
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.utils import timezone

call_command("migrate", verbosity=0)
user = get_user_model().objects.create_user("ada", password="not a secret")
data = {
    SESSION_KEY: str(user.pk),
    BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
    HASH_SESSION_KEY: user.get_session_auth_hash(),
}
SessionStore().model.objects.create(
    session_key="benchbenchbenchbenchbenchbenchbe",
    session_data=SessionStore().encode(data),
    expire_date=timezone.now() + timedelta(days=1),
)
