"""Who asks: the session cookie of an account, kept on the server by Flask-Session."""

import hmac
from datetime import timedelta

from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import NullSession, SessionMixin
from flask_session.base import ServerSideSession, ServerSideSessionInterface

from app.cors import is_foreign
from app.parts import parts
from app.problems import of_chat
from chat.accounts import Account
from chat.conversation import Conversation
from chat.errors import LoginRequired, StoreUnavailable
from chat.events import dumps
from chat.sessions import Login

COOKIE = "parley_session"
# As long as browsers keep a cookie; when a session ends is for the server to say.
COOKIE_LIFE = timedelta(days=400)


class SessionInterface(ServerSideSessionInterface):  # type: ignore[misc]
    """Flask-Session on the store of this application.

    Whoever reads Redis, or a copy of it, opens no session: it is kept under a hash of what the cookie holds.
    """

    def __init__(self, app: Flask) -> None:
        super().__init__(app, key_prefix="session:", serialization_format="json")

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        """The session of the request; None when the store does not answer, which only matters to who needs it."""
        try:
            found: SessionMixin = super().open_session(app, request)
            return found
        except StoreUnavailable:
            return None

    def save_session(self, app: Flask, session: ServerSideSession, response: Response) -> None:
        """Answer 503 when the store is away by now: nobody is told of a login that is not kept."""
        try:
            super().save_session(app, session, response)
        except StoreUnavailable as error:
            told = of_chat(error)
            response.status, response.data = told.status, told.data
            response.headers.update(told.headers)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure

    def _get_store_id(self, sid: str) -> str:
        secret = self.app.config["SECRET_KEY"] or ""
        return f"{self.key_prefix}{hmac.digest(secret.encode(), sid.encode(), 'sha256').hex()}"

    def _retrieve_session_data(self, store_id: str) -> dict[str, object] | None:
        kept = parts().sessions.read(store_id)
        return self.serializer.decode(kept) if kept else None

    def _delete_session(self, store_id: str) -> None:
        parts().sessions.delete(store_id)

    def _upsert_session(self, lifetime: timedelta, session: ServerSideSession, store_id: str) -> None:
        parts().sessions.write(_login(session, store_id), dumps(dict(session)))


def current() -> Login | None:
    """The session that this request may use: none for a guest, and none for a page of another site.

    Raises StoreUnavailable when nobody can say.
    """
    if "login" not in g:
        opened = None if is_foreign() else _opened()
        login = _login(opened, _interface()._get_store_id(opened.sid)) if opened else None
        g.login = login if login and parts().sessions.alive([login])[0] else None
    found: Login | None = g.login
    return found


def known() -> Account | None:
    """The account that is logged in, if any is."""
    login = current()
    return parts().accounts.find(login.account) if login else None


def account() -> Account:
    """The account that is logged in. Raises LoginRequired."""
    found = known()
    if not found:
        raise LoginRequired()
    return found


def begin(name: str, generation: int) -> None:
    """Log this client in, under a new id: whoever knows the old one, or planted it, does not get in with it."""
    opened = _opened()
    opened.clear()
    opened.update(account=name, generation=generation)
    _interface().regenerate(opened)


def end() -> None:
    """Log this client out."""
    # An empty session is not even touched: to forget it would take the store.
    if opened := _opened():
        opened.clear()


def check(conversation: Conversation) -> None:
    """Raise LoginRequired when the session with which this conversation was found has ended."""
    if conversation.session and not parts().sessions.alive([conversation.session])[0]:
        raise LoginRequired()


def _login(session: ServerSideSession, key: str) -> Login:
    return Login(session["account"], session["generation"], key)


def _opened() -> ServerSideSession:
    opened: ServerSideSession = session._get_current_object()  # type: ignore[attr-defined]
    if isinstance(opened, NullSession):
        raise StoreUnavailable()
    return opened


def _interface() -> SessionInterface:
    found = current_app.session_interface
    assert isinstance(found, SessionInterface)
    return found
