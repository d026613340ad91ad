"""What the server says of itself: what it can do, and whether it lives."""

from flask import Response

from app import logins, schemas
from app.parts import parts
from app.problems import problem
from app.smorest import Blueprint
from chat import VERSION
from chat.conversation import Json

blueprint = Blueprint("about", __name__)


@blueprint.get("/api/config")
@blueprint.response(200, schemas.About)
def config() -> Json:
    """What a client needs to know before it begins."""
    settings, account = parts().config, logins.known()
    demo = not (settings.model_url or settings.gptj_path)
    return {
        "version": VERSION,
        "model": settings.model_name or ("GPT-J (tiny)" if demo else "GPT-J"),
        "demo": demo,
        "limits": {name: getattr(settings, name) for name in ("message_max_chars", "pending_max", "chat_ttl_s")},
        "registration": settings.registration,
        "account": account and account.name,
    }


@blueprint.get("/healthz")
@blueprint.response(200, schemas.Health)
def healthz() -> Json:
    """This process answers."""
    return {"status": "ok", "version": VERSION}


@blueprint.get("/readyz")
@blueprint.response(200, schemas.Ready)
def readyz() -> Json | Response:
    """A message that is sent now will be answered; else 503, with what is wrong with which part."""
    states = parts().readiness.states()
    down = [name for name, state in states.items() if state != "ok"]
    if down:
        return problem(503, "not_ready", f"Not ready: {', '.join(down)}.", {"Retry-After": "1"}, parts=states)
    return {"status": "ready", "version": VERSION, "parts": states}
