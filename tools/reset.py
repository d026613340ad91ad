"""Empties the data directory of `make run` of what Parley keeps there, after asking: `make reset`."""

import shutil
import sys

import run
from chat.config import from_environ
from chat.errors import ConfigError
from supervisor import CannotStart

FILES = ("secret_key", "valkey.sock", "lock")


def main() -> None:
    try:
        data = run.data_folder(from_environ(run.environment()))
        run.take(data)
    except (CannotStart, ConfigError) as error:
        sys.exit(str(error))
    print(f"Delete every conversation in {data}? Type yes: ", end="", flush=True)
    if sys.stdin.readline().strip() != "yes":
        sys.exit("Nothing was deleted.")
    shutil.rmtree(data / "appendonlydir", ignore_errors=True)
    for name in FILES:
        (data / name).unlink(missing_ok=True)
    print("Deleted.")


if __name__ == "__main__":
    main()
