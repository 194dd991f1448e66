"""The page docs/neuralese.md runs as it stands."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "neuralese.md"


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    code, names = "\n".join(blocks), {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)
