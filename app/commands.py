"""`flask --app wsgi accounts …`: accounts as the people who run the server manage them."""

import click
from flask import Blueprint
from marshmallow import ValidationError

from app import schemas
from app.parts import parts
from chat.chats import delete_account
from chat.errors import ChatError, LoginFailed

blueprint = Blueprint("accounts_commands", __name__, cli_group="accounts")
blueprint.cli.help = "Make, list and delete accounts, and set their passwords."


@blueprint.cli.command("add")
@click.argument("name")
@click.password_option()
def add(name: str, password: str) -> None:
    """Make an account, also where registration is closed."""
    _checked(name, password)
    try:
        parts().accounts.create(name, password)
    except ChatError as error:
        raise click.ClickException(error.detail) from None


@blueprint.cli.command("list")
def list_all() -> None:
    """Print each account's name and when it was made."""
    accounts = (parts().accounts.find(name) for name in sorted(parts().accounts.names()))
    for account in filter(None, accounts):
        click.echo(f"{account.name}\t{account.created_at}")


@blueprint.cli.command("reset-password")
@click.argument("name")
@click.password_option()
def reset_password(name: str, password: str) -> None:
    """Set an account's password and end all its sessions."""
    _checked(name, password)
    try:
        parts().accounts.set_password(name, password)
    except LoginFailed:
        raise click.ClickException(f"There is no account named {name}.") from None


@blueprint.cli.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="Delete the account with all its conversations?")
def delete(name: str) -> None:
    """Delete an account with all that belongs to it."""
    try:
        delete_account(parts().store, name)
    except LoginFailed:
        raise click.ClickException(f"There is no account named {name}.") from None


def _checked(name: str, password: str) -> None:
    try:
        schemas.Credentials().load({"name": name, "password": password})
    except ValidationError as error:
        told = error.messages if isinstance(error.messages, dict) else {"": error.messages}
        raise click.ClickException(" ".join(f"{field}: {' '.join(what)}" for field, what in told.items())) from None
