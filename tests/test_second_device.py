"""Every tensor lies on the device of the model: shown on a second device, as no GPU is needed to see them meet."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_all_that_is_found_on_the_cpu_is_found_on_a_second_device() -> None:
    """In a process of its own, as a device stays registered; shapes are checked in the other tests."""
    options = ("-q", "--tb=short", "-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, "tests/on_second_device.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
