"""What a user gets: the wheel, built through the sdist, in an environment that knows no checkout.

The environment is bare but for the packages beside pytest, so that it is there in seconds; what they would hide, a
dependency that is not declared, is read from the source instead.
"""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("data", "eval", "search", "training")
LEFT_OUT = ("__pycache__", ".mypy_cache", ".ruff_cache")
pytestmark = pytest.mark.slow

IMPORT_ALL = """
import importlib, json, pkgutil, sys
import describer, describer.data

found = ["describer"]
for module in pkgutil.walk_packages(describer.__path__, "describer.", onerror=print):
    importlib.import_module(module.name)
    found.append(module.name)
files = sorted(file for name, module in sys.modules.items()
               if name.split(".")[0] == "describer" and (file := getattr(module, "__file__", None)))
print(json.dumps({"modules": found, "files": files, "path": list(describer.__path__), "data": describer.data.__file__,
                  "sys": sys.path}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it knows nothing of this checkout."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the sdist that is built from this checkout."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("describer-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel in it; other packages come from beside pytest, but not describer."""
    home = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    libraries = dict.fromkeys(
        str(Path(importlib.metadata.distribution(name).locate_file(""))) for name in ("torch", "pytest")
    )
    (site / "libraries.pth").write_text("\n".join(libraries))  # their own .pth files, the checkout's too, are not read
    return python


def wanted_files() -> set[str]:
    """What of this checkout must be in the wheel, under its names there."""
    found = set()
    for folder in ("describer", *FOLDERS):
        inside = "" if folder == "describer" else "describer/"
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not set(path.parts) & set(LEFT_OUT):
                found.add(f"{inside}{path.relative_to(ROOT)}")
    return found


def test_all_files_are_in_the_wheel_and_no_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {info.filename: info.file_size for info in archive.infolist() if ".dist-info/" not in info.filename}
        licences = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert set(packed) == wanted_files()
    assert {Path(name).parts[0] for name in packed} == {"describer"}
    assert any(name.startswith("describer/training/recipes/") and name.endswith(".yaml") for name in packed)
    assert len(licences) == 1


def test_the_carried_weights_are_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        weights = {str(Path(name).parent) for name in archive.namelist() if name.endswith(".safetensors")}
    assert weights >= {"describer/weights/captioner", "describer/weights/scenes"}


def test_every_module_of_the_wheel_can_be_imported(wheel: Path, bare: Path) -> None:
    told = json.loads(run(bare, "-c", IMPORT_ALL, cwd=bare.parent))
    home = Path(told["data"]).parents[2]
    assert str(home).startswith(str(bare.parents[1]))
    assert told["path"] == [str(home / "describer")]
    assert not {str(ROOT), ""} & set(told["sys"][1:])
    assert [file for file in told["files"] if not file.startswith(str(home))] == []
    with zipfile.ZipFile(wheel) as archive:
        names = [
            name.removesuffix(".py").removesuffix("/__init__") for name in archive.namelist() if name.endswith(".py")
        ]
    assert set(told["modules"]) == {name.replace("/", ".") for name in names}


def test_the_command_runs_from_the_wheel(bare: Path, tmp_path: Path) -> None:
    command = bare.with_name("describer")
    version = importlib.metadata.version("describer")
    assert run(command, "--version", cwd=tmp_path) == f"describer {version}\n"
    (tmp_path / "data").mkdir()  # folders of the user's that are called as ours must not be found instead
    (tmp_path / "data" / "__init__.py").write_text("raise SystemExit('a stranger')")
    assert "layer4" in run(command, "layers", "carried:scenes", cwd=tmp_path)


# Dependencies


def name_of(requirement: str) -> str:
    """The distribution a requirement names, spelled the one way."""
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def declared() -> tuple[set[str], dict[str, set[str]]]:
    """Distributions that an installation brings, and those of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {extra: set(map(name_of, found)) for extra, found in project["optional-dependencies"].items()}
    return set(map(name_of, project["dependencies"])), extras


def imported(text: str) -> set[str]:
    """Top names of what a file imports, late imports too; neither ours nor Python's own."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"describer"}


EXTRAS = {"training": ("train",), "data": ("train", "diffusion"), "eval": ("diffusion",)}
"Extras a folder may use: it does without them, and says so."


def undeclared(folder: str, names: set[str], owners: dict[str, list[str]]) -> list[str]:
    """Which of these imports nothing that pyproject.toml declares would bring."""
    always, extras = declared()
    allowed = always.union(*(extras[extra] for extra in EXTRAS.get(folder, ())))
    return sorted(name for name in names if not allowed & set(map(name_of, owners.get(name, [name]))))


@pytest.mark.parametrize("folder", ["describer", *FOLDERS])
def test_every_import_is_declared(folder: str) -> None:
    owners = {name: list(found) for name, found in importlib.metadata.packages_distributions().items()}
    names = {name for path in (ROOT / folder).rglob("*.py") for name in imported(path.read_text(encoding="utf-8"))}
    assert undeclared(folder, names, owners) == []


def test_an_import_that_is_not_declared_is_seen() -> None:
    owners = {"yaml": ["PyYAML"], "psutil": ["psutil"], "HanTa": ["HanTa"]}
    names = imported(
        "import yaml, os\ndef late():\n    from HanTa.HanoverTagger import X\n    import psutil, stranger.part"
    )
    assert undeclared("training", names, owners) == ["psutil", "stranger"]
    assert undeclared("search", names, owners) == ["HanTa", "psutil", "stranger"]
