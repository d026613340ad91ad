"""`flask --app wsgi accounts …`, which is for the people who run the server."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import Result
from services import ROOT, python

from app import create_app
from chat.accounts import Accounts
from chat.chats import Chats
from chat.config import Config
from chat.store import Store

Flask = Callable[..., Result]


@pytest.fixture
def flask(config: Config, store: Store) -> Flask:
    runner = create_app(replace(config, registration="closed"), store).test_cli_runner()

    def called(*arguments: str, typed: str = "") -> Result:
        return runner.invoke(args=["accounts", *arguments], input=typed)

    return called


def test_accounts_are_made_listed_and_deleted(flask: Flask, store: Store) -> None:
    made = flask("add", "Ada", typed="correct horse\ncorrect horse\n")
    assert made.exit_code == 0 and "correct horse" not in made.stdout + made.stderr
    accounts = Accounts(store)
    assert accounts.login("ada", "correct horse", "").name == "Ada"
    again = flask("add", "ADA", "--password", "correct horse")
    assert again.exit_code == 1 and again.stderr == "Error: This name is taken; choose another one.\n"
    accounts.create("eve", "correct horse")
    assert [line.split("\t")[0] for line in flask("list").stdout.splitlines()] == ["Ada", "eve"]
    Chats(store, "ada").create()
    assert flask("delete", "ada", typed="n\n").exit_code == 1 and accounts.find("ada")
    assert flask("delete", "ada", "--yes").exit_code == 0
    assert flask("list").stdout.startswith("eve\t") and not store.client.keys("*ada*")


def test_a_password_is_set_anew_and_all_sessions_end(flask: Flask, store: Store) -> None:
    accounts = Accounts(store)
    before = accounts.create("Ada", "correct horse")
    assert flask("reset-password", "ada", "--password", "battery staple").exit_code == 0
    after = accounts.login("Ada", "battery staple", "")
    assert after.generation > before.generation


def test_a_store_that_is_away_is_told_in_one_line(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"{redis_url}.nobody")
    command = python("-m", "flask", "--app", "wsgi", "accounts", "list")
    environ = os.environ | {"SECRET_KEY": "for tests"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("Error: The store does not answer; try again in a moment.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "a b", "--password", "correct horse"), "name: It must have 1 to 40 characters"),
        (("add", "ada", "--password", "short"), "password: "),
        (("reset-password", "nobody", "--password", "correct horse"), "There is no account named nobody."),
        (("delete", "nobody", "--yes"), "There is no account named nobody."),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(flask: Flask, arguments: tuple[str, ...], told: str) -> None:
    done = flask(*arguments)
    assert done.exit_code == 1 and done.stderr.startswith(f"Error: {told}") and done.stderr.count("\n") == 1
