"""README holds what it promises: its Python runs as it stands, its commands and files are there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from describer.cli import app

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def blocks(page: str, language: str) -> list[str]:
    """The code in a page's fenced blocks of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def commands(page: str) -> list[list[str]]:
    """The words of every command line in a page's sh blocks, comments left out."""
    lines = (line for block in blocks(page, "sh") for line in block.splitlines())
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def wrong(words: list[str]) -> str | None:
    """What a command line names that is not there: a script, a verb, an option or an argument too many or few."""
    if words[0].startswith("scripts/"):
        path = ROOT / words[0]
        return None if path.is_file() and path.stat().st_mode & 0o111 else f"no script {words[0]}"
    if words[0] != "describer":
        return f"neither a script nor describer: {words[0]}"
    verbs = get_command(app).commands
    if len(words) < 2 or words[1] not in verbs:
        return f"no verb in {words}"
    try:
        verbs[words[1]].make_context(words[1], words[2:])  # reads the arguments, runs nothing
    except Exception as fault:
        return f"{words[1]}: {fault}"
    return None


def test_the_pages_have_code_to_run() -> None:
    assert len(blocks("README.md", "python")) >= 1
    assert ["scripts/demo"] in commands("README.md") and ["scripts/test"] in commands("README.md")
    assert {words[1] for words in commands("README.md") if words[0] == "describer"} >= {"describe", "units", "show"}


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_there(page: str) -> None:
    assert [told for told in map(wrong, commands(page)) if told] == []


@pytest.mark.parametrize(
    "line",
    [
        "scripts/dmo",
        "describer",
        "describer descibe torchvision:resnet18 photos/ --out atlas",
        "describer describe torchvision:resnet18 photos/ --otu atlas",
        "describer layers",
        "describer units atlas --layer",
        "pip install describer",
    ],
)
def test_a_command_that_is_not_there_is_seen(line: str) -> None:
    assert wrong(shlex.split(line))


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks("README.md", "python"))))
def test_python_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text(blocks("README.md", "python")[number], encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
