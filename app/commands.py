"""`flask --app wsgi accounts …`: accounts as the people who run the server manage them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from flask import Blueprint
from marshmallow import ValidationError

from app import schemas
from app.parts import parts
from chat.accounts import Accounts
from chat.chats import delete_account
from chat.errors import ChatError, LoginFailed

blueprint = Blueprint("accounts_commands", __name__, cli_group="accounts")
blueprint.cli.help = "Make, list and delete accounts, and set their passwords."


@blueprint.cli.command("add")
@click.argument("name")
@click.password_option()
def add(name: str, password: str) -> None:
    """Make an account, also where registration is closed."""
    _set(Accounts.create, name, password)


@blueprint.cli.command("list")
def list_all() -> None:
    """Print each account's name and when it was made."""
    with _told():
        accounts = (parts().accounts.find(name) for name in parts().accounts.names())
        for account in filter(None, accounts):
            click.echo(f"{account.name}\t{account.created_at}")


@blueprint.cli.command("reset-password")
@click.argument("name")
@click.password_option()
def reset_password(name: str, password: str) -> None:
    """Set an account's password and end all its sessions."""
    _set(Accounts.set_password, name, password)


@blueprint.cli.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="Delete the account with all its conversations?")
def delete(name: str) -> None:
    """Delete an account with all that belongs to it."""
    with _told(name):
        delete_account(parts().store, name)


def _set(change: Callable[[Accounts, str, str], object], name: str, password: str) -> None:
    with _told(name):
        schemas.Credentials().load({"name": name, "password": password})
        change(parts().accounts, name, password)


@contextmanager
def _told(name: str = "") -> Iterator[None]:
    """Tell what went wrong in one line, and end with status 1."""
    try:
        yield
    except LoginFailed:
        raise click.ClickException(f"There is no account named {name}.") from None
    except ChatError as error:
        raise click.ClickException(error.detail) from None
    except ValidationError as error:
        raise click.ClickException(schemas.in_words(error)) from None
