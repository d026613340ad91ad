"""Who may import whom: the arrows that docs/architecture.md draws."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("app", "chat", "gptj", "protocol", "tasks")
OURS = (*FOLDERS, "celeryconfig", "logs", "run", "supervisor", "wsgi")

# What each may import of ours, itself aside. The longest name that fits counts.
ARROWS = {
    "chat": (),
    "gptj.client": ("chat",),
    "gptj.server": ("chat", "gptj"),
    "tasks": ("chat", "gptj.client"),
    "app": ("chat", "tasks.bell"),
    "protocol": (),
}
# Where each library may be imported.
HOMES = {"flask": ("app", "gptj.server", "wsgi"), "celery": ("tasks", "celeryconfig"), "redis": ("chat",)}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_of(path): path
    for path in sorted([*ROOT.glob("*.py"), *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))])
    if not path.name.startswith("gunicorn") and not module_of(path).startswith("gptj.train")
}


def within(module: str, *places: str) -> bool:
    """Whether a module is one of these places or lies in one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def imports(module: str) -> Iterator[str]:
    """Every module that this one imports, wherever in the file, with `from a import b` as a.b."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{name.name}" for name in node.names)


@pytest.mark.parametrize("module", [m for m in MODULES if within(m, *ARROWS)])
def test_a_module_imports_of_ours_only_what_the_arrows_allow(module: str) -> None:
    place = max((place for place in ARROWS if within(module, place)), key=len)
    strangers = [i for i in imports(module) if within(i, *OURS) and not within(i, place, *ARROWS[place])]
    assert not strangers


@pytest.mark.parametrize("module", MODULES)
def test_flask_celery_and_redis_are_imported_at_home_only(module: str) -> None:
    abroad = [
        i
        for i in imports(module)
        for library, homes in HOMES.items()
        if within(i, library) and not within(module, *homes)
    ]
    assert not abroad


def test_the_core_can_be_imported_without_flask_and_celery() -> None:
    core = ", ".join(m for m in MODULES if within(m, "chat"))
    code = f"import sys, {core}; sys.exit(any(m in sys.modules for m in ('flask', 'celery')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
