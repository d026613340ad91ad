"""The settings: how they are read, and that what is written about them is true."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from chat.config import Config, from_environ
from chat.errors import ConfigError
from tools import settings

ROOT = Path(__file__).resolve().parents[1]


def test_what_is_not_set_has_its_default() -> None:
    assert from_environ({}) == Config()


def test_an_empty_setting_counts_as_not_set() -> None:
    assert from_environ({"PORT": "", "MODEL_URL": "  "}) == Config()


def test_settings_are_read_from_the_environment() -> None:
    config = from_environ(
        {"PORT": " 3500 ", "CORS_ORIGINS": "http://a, http://b,", "REDIS_TLS_VERIFY": "no", "LEASE_S": "2.5"}
    )
    assert config.port == 3500
    assert config.cors_origins == ("http://a", "http://b")
    assert config.redis_tls_verify is False
    assert config.lease_s == 2.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "-1"),
        ("PORT", "80.5"),
        ("WEB_CONCURRENCY", "0"),
        ("LEASE_S", "nan"),
        ("LEASE_S", "inf"),
        ("REDIS_TLS_VERIFY", "perhaps"),
        ("REDIS_URL", "redis+cluster://a:1,b:2"),
        ("LOG_LEVEL", "loud"),
        ("MODEL_URL", "localhost:8080"),
        ("MODEL_MAX_NEW_TOKENS", "4096"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_one_line_that_names_it(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_environ({name: value})
    assert name in refused.value.detail
    assert "\n" not in refused.value.detail


def test_a_config_cannot_be_changed_and_does_not_show_its_secrets() -> None:
    config = Config(secret_key="hush", model_token="quiet", redis_url="redis://:word@host")
    with pytest.raises(FrozenInstanceError):
        config.port = 1  # type: ignore[misc]
    assert not any(secret in repr(config) for secret in ("hush", "quiet", "word@"))


def test_the_configuration_page_lists_every_setting() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert text == settings.page(), "run `make settings`"
    assert all(f"| `{f.name.upper()}` |" in text for f in fields(Config))


def test_the_example_environment_lists_every_setting_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text()
    assert text == settings.example(), "run `make settings`"
    set_by_it = dict(line[2:].split("=", 1) for line in text.splitlines() if line.startswith("# ") and "=" in line)
    assert from_environ({name: value for name, value in set_by_it.items() if name.isupper()}) == Config()
