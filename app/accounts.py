"""Accounts over HTTP: sign up, log in and out, change the password, leave."""

from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network

from flask import request

from app import logins, schemas
from app.api import is_id
from app.parts import parts
from app.smorest import Blueprint
from chat.accounts import Account
from chat.chats import Chats, delete_account
from chat.conversation import Json
from chat.errors import RegistrationClosed

blueprint = Blueprint("accounts", __name__, url_prefix="/api")


@blueprint.post("/accounts")
@blueprint.arguments(schemas.Credentials)
@blueprint.response(201, schemas.Account)
def create(new: Json) -> Account:
    """Make an account and log in. The guest's conversations that `keep` names become its own."""
    if parts().config.registration == "closed":
        raise RegistrationClosed()
    return _enter(parts().accounts.create(new["name"], new["password"], _address()), new["keep"])


@blueprint.post("/login")
@blueprint.arguments(schemas.Credentials)
@blueprint.response(200, schemas.Account)
def login(given: Json) -> Account:
    """Log in. The guest's conversations that `keep` names become the account's own."""
    return _enter(parts().accounts.login(given["name"], given["password"], _address()), given["keep"])


@blueprint.post("/logout")
@blueprint.response(204)
def logout() -> None:
    """End this session. It is no error when there is none."""
    logins.end()


@blueprint.get("/me")
@blueprint.response(200, schemas.Account)
def me() -> Account:
    """The account that is logged in."""
    return logins.account()


@blueprint.post("/me/password")
@blueprint.arguments(schemas.NewPassword)
@blueprint.response(204)
def change_password(given: Json) -> None:
    """Change the password. All other sessions end; this one goes on under a new id."""
    account = _confirmed(given["password"])
    logins.begin(account.id, parts().accounts.set_password(account.id, given["new_password"]))


@blueprint.delete("/me/sessions")
@blueprint.response(204)
def end_sessions() -> None:
    """End all sessions of the account, this one too."""
    parts().accounts.end_sessions(logins.account().id)
    logins.end()


@blueprint.delete("/me")
@blueprint.arguments(schemas.Deletion)
@blueprint.response(204)
def delete(given: Json) -> None:
    """Delete the account with all its conversations."""
    delete_account(parts().store, _confirmed(given["password"]).id)
    logins.end()


def _enter(account: Account, keep: list[str]) -> Account:
    Chats(parts().store, account.id).adopt(filter(is_id, keep))
    logins.begin(account.id, account.generation)
    return account


def _confirmed(password: str) -> Account:
    """The account that is logged in, if this is its password."""
    return parts().accounts.login(logins.account().name, password, _address())


def _address() -> str:
    """Where the request comes from; of IPv6 the network, as one customer has 2**64 addresses or more."""
    address = request.remote_addr or "unknown"
    with suppress(ValueError):
        if not IPv6Address(address).ipv4_mapped:
            return str(IPv6Network(f"{address}/64", strict=False))
    return address
