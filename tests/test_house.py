"""The rules of the house, read from the source: floors, names, sizes, safety, pages and what --help loads.

A rule is a function that lists its breaches as `file:line what`, so that a failing test says where to look; the tests
at the end of a rule show it a breach, so that a rule that sees nothing is found.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import describer

ROOT = Path(__file__).parents[1]
FLOORS = {
    "describer": set(),
    "data": {"describer"},
    "training": {"describer", "data"},
    "search": {"describer", "data"},
    "eval": {"describer", "data", "training", "search"},
}
"What each folder may import of ours, beside itself."
SISTERS = tuple(folder for folder in FLOORS if folder != "describer")
ROOF = "describer/cli.py"
"The one file of the core that may import the other folders, inside functions."
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAX_LINES, MAX_README, MAX_WEIGHTS = 400, 150, 60_000_000
HEAVY = ("torch", "numpy", "transformers", "timm", "PIL", "pyarrow", "lancedb", "rich")


def sources(*folders: str) -> list[str]:
    """Paths from the root of all Python files in these folders."""
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


PACKAGE = sources(*FLOORS)
ALL = [*PACKAGE, *sources("scripts", "tests")]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


parsed = cache(ast.parse)
"Many rules read the same files."


def breaches(rule, names: list[str]) -> list[str]:
    """`file:line what` of every breach of a rule in these files."""
    return [f"{name}:{line} {what}" for name in names for line, what in rule(name, read(name))]


# Floors and names


def imports(name: str, text: str) -> Iterator[tuple[int, str, bool]]:
    """(line, full dotted name, inside a function) of everything that is imported, also by import_module("...")."""
    home = ["describer", *Path(name).parts[:-1]] if not name.startswith("describer/") else list(Path(name).parts[:-1])
    tree = parsed(text)
    late = {id(node) for outer in ast.walk(tree) if isinstance(outer, FUNCTIONS) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*home[: len(home) + 1 - node.level], *filter(None, [node.module])] if node.level else [node.module]
            found = [".".join(map(str, [*base, alias.name])) for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            found = [node.value]
        else:
            continue
        yield from ((node.lineno, module, id(node) in late) for module in found)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_MODULE = re.compile(rf"describer\.({'|'.join(SISTERS)})(\.\w+)*")


def wrong_floor(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Imports of folders that this one does not stand on."""
    home = name.split("/", maxsplit=1)[0]
    for line, module, late in imports(name, text):
        head, _, rest = module.partition(".")
        folder = rest.partition(".")[0] if head == "describer" else ""
        folder = folder if folder in SISTERS else "describer" if head == "describer" else ""
        roof = name == ROOF and late
        if folder and folder != home and folder not in FLOORS[home] and not roof:
            yield line, f"{home} must not import {module}"


def short_name(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Imports of data, eval, search or training under a second name."""
    for line, module, _ in imports(name, text):
        if module.partition(".")[0] in SISTERS:
            yield line, f"import describer.{module}: a second name makes a second copy of every class"


def test_each_folder_imports_only_what_it_stands_on() -> None:
    assert breaches(wrong_floor, PACKAGE) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("describer/probe.py", "def late():\n    from describer.data.images import load_images"),
        ("describer/probe.py", "from describer import data"),
        ("describer/probe.py", "import describer.eval.planted.naming as planted"),
        ("describer/probe.py", "from .data import images"),
        ("describer/probe.py", "import_module('describer.search')"),
        ("describer/cli.py", "from describer.data.images import load_images"),
        ("data/scenes/scene.py", "from describer.training.recipe import carry_out"),
        ("data/scenes/scene.py", "from ...eval import planted"),
        ("training/fit.py", "from describer.search.table import Table"),
        ("search/table.py", "import describer.training"),
    ],
)
def test_an_import_of_a_higher_floor_is_seen(name: str, text: str) -> None:
    assert len(list(wrong_floor(name, text))) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("describer/cli.py", "def verb():\n    from describer.data.images import load_images"),
        ("describer/cli.py", "from describer.atlas import Atlas"),
        ("data/tables.py", "from describer.data.images import ImageSet\nfrom describer.errors import ImagesError"),
        ("data/tables.py", "from .images import ImageSet\nimport datasets"),
        ("eval/planted/naming.py", "from describer.training.recipe import carry_out\nfrom describer.search import a"),
    ],
)
def test_an_import_of_a_lower_floor_is_allowed(name: str, text: str) -> None:
    assert list(wrong_floor(name, text)) == []


def test_nothing_is_imported_under_a_second_name() -> None:
    assert breaches(short_name, ALL) == []
    assert len(list(short_name("tests/test_x.py", "import data\nfrom training.fit import fit\nimport database"))) == 2


def test_in_a_checkout_the_sisters_are_found_beside_the_core() -> None:
    import describer.data

    assert list(describer.__path__) == [str(ROOT / "describer"), str(ROOT)]
    assert describer.data.__file__ == str(ROOT / "data" / "__init__.py")
    assert [folder for folder in SISTERS if (ROOT / "describer" / folder).exists()] == []


def test_in_a_wheel_the_sisters_are_found_inside_the_core(tmp_path: Path) -> None:
    inside = tmp_path / "describer"
    (inside / "data").mkdir(parents=True)
    inside.joinpath("__init__.py").write_text(read("describer/__init__.py"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import describer; print(*describer.__path__)"
    assert python(code) == f"{inside}\n"


# Sizes and text


def lengths(names: list[str]) -> dict[str, int]:
    return {name: len(read(name).splitlines()) for name in names}


def test_no_file_is_too_long() -> None:
    assert {name: n for name, n in lengths(ALL).items() if n > MAX_LINES} == {}
    assert {name: n for name, n in lengths(["README.md"]).items() if n > MAX_README} == {}


def test_every_public_module_tells_how_to_use_it() -> None:
    public = [name for name in PACKAGE if not re.match("_(?!_init__)", Path(name).name)]
    trees = {name: parsed(read(name)) for name in public}
    assert [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def postponed_shapes(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Files whose jaxtyping shapes would be strings that nothing checks."""
    modules = [module for _, module, _ in imports(name, text)]
    if "__future__.annotations" in modules and any(module.startswith("jaxtyping.") for module in modules):
        yield 1, "annotations must not be postponed where shapes are checked"


def test_shapes_are_checked_everywhere() -> None:
    assert breaches(postponed_shapes, ALL) == []
    assert list(postponed_shapes("data/x.py", "from __future__ import annotations\nfrom jaxtyping import Float"))


# Safety


def unsafe(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Whatever could run code that lies in a file of weights or data."""
    for line, module, _ in imports(name, text):
        if module.partition(".")[0] in PICKLES:
            yield line, f"{module} must not be used: safetensors, npz or JSON do"
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            if called == "torch.load" and options.get("weights_only") != "True":
                yield node.lineno, "torch.load must have weights_only=True"
            if called == "torch.hub.load" and options.get("trust_repo") != "'check'":
                yield node.lineno, "torch.hub.load must ask the person first"
            if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load"):
                yield node.lineno, f"{called} must not be used"
            if options.get("allow_pickle", "False") != "False" or options.get("trust_remote_code", "False") != "False":
                yield node.lineno, "what comes from files must not run"
        if isinstance(node, ast.ImportFrom) and node.module == "torch" and "load" in {a.name for a in node.names}:
            yield node.lineno, "torch.load must be called by its whole name, so that this rule sees it"


def test_no_file_of_weights_or_data_can_run_code() -> None:
    assert breaches(unsafe, PACKAGE) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "def late():\n    from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from torch import load",
        "eval('1')",
        "exec(text)",
        "torch.hub.load(repository, entry)",
        "torch.hub.load(repository, entry, trust_repo=True)",
        "yaml.load(text)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_what_could_run_code_is_seen(text: str) -> None:
    assert len(list(unsafe("data/x.py", text))) == 1


def test_what_is_safe_is_allowed() -> None:
    text = "model.eval()\ntorch.load(path, weights_only=True)\ntorch.hub.load(a, b, trust_repo='check')\n"
    text += "np.load(path, allow_pickle=False)\nimport picklejar"
    assert list(unsafe("data/x.py", text)) == []


def test_the_weights_are_small_enough_to_carry() -> None:
    weights = [path for path in (ROOT / "describer" / "weights").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in weights) <= MAX_WEIGHTS
    kinds = {path.suffix for path in weights if "__pycache__" not in path.parts}
    assert kinds <= {".safetensors", ".json", ".model", ".txt", ".md", ".yaml", ".py"}


# Pages and the machine


def tracked() -> list[str]:
    """What belongs to the project: tracked files and new ones that git does not ignore; outside git, all folders."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and done.stdout:
        return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]
    folders = (*FLOORS, "scripts", "tests", "docs", ".ci")
    paths = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    return [str(path.relative_to(ROOT)) for path in paths if path.is_file() and "__pycache__" not in path.parts]


PLACES = re.compile(r"(?<![\w.~-])/(?:work|home|root|Users)/|--(?:extra-)?index-url|--find-links|(?<!\w)pypi\.\w+")


def placed(text: str) -> Iterator[tuple[int, str]]:
    """Lines that hold on one machine only: its folders, or where its packages come from."""
    for number, line in enumerate(text.splitlines(), 1):
        if PLACES.search(line):
            yield number, line.strip()


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content[:4096] and name != "tests/test_house.py":
            found += [f"{name}:{number} {line}" for number, line in placed(content.decode("utf-8", "replace"))]
    assert found == []


# put together here, so that this file names no machine either
HOME, WORK, ROOTS = ("/".join(("", *parts)) for parts in (("home", "me", "x"), ("work", "main"), ("root", "x")))


@pytest.mark.parametrize("text", [f"see {HOME}", f"'{WORK}'", "pip install --index-url x", "from pypi.org"])
def test_a_machine_is_seen(text: str) -> None:
    assert len(list(placed(f"first\n{text}"))) == 1


def test_a_path_in_a_project_is_no_machine() -> None:
    assert list(placed(f"describer{WORK}/home.py ..{ROOTS} photos/home/ https://x.org{ROOTS}")) == []


def test_the_version_is_one_and_the_changelog_tells_it() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    headings = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", describer.__version__]
    assert project["version"] == describer.__version__


def test_the_licence_is_the_one_that_is_declared() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License\n\nCopyright (c) 2026 describer contributors\n")


SCRIPTS = ("install", "demo", "check", "test", "build", "bench")


@pytest.mark.parametrize("name", [*(f"scripts/{script}" for script in SCRIPTS), ".ci/run"])
def test_scripts_stop_at_the_first_fault_and_fit_a_screen(name: str) -> None:
    lines = read(name).splitlines()
    assert lines[0] == "#!/bin/sh" and "set -eu" in lines and len(lines) <= 50
    assert (ROOT / name).stat().st_mode & 0o111
    subprocess.run(["sh", "-n", ROOT / name], check=True)


# What is loaded


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert python(f"import sys, describer; print([m for m in {HEAVY} if m in sys.modules])") == "[]\n"


def test_help_of_every_verb_loads_nothing_heavy() -> None:
    code = f"""
import contextlib, io, sys
from describer.cli import app
for verb in [None, *(command.name or command.callback.__name__ for command in app.registered_commands)]:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        app([*filter(None, [verb]), "--help"])
    print(verb or "describer", len(said.getvalue()) > 100, [m for m in {HEAVY} if m in sys.modules])
"""
    lines = python(code).splitlines()
    assert len(lines) > 6
    assert [line for line in lines if not line.endswith(" True []")] == []
