"""Methods by their names: whose model --describer names, words of clip, and what is refused."""

from pathlib import Path

import pytest

from describer.choices import describers_of, methods_of, models_of, words_of
from describer.errors import DescriberError
from tests.describer.dualencoders import small_listener
from tests.describer.imagetext import save_llava


def test_methods_are_read_with_their_files() -> None:
    assert methods_of("caption, clip@words.txt,vlm", None) == ["caption", "clip", "vlm"]
    assert methods_of("clip", None) == ["clip"]
    assert methods_of("clip,concept", "scenes:3") == ["clip", "concept"]
    assert methods_of(None, None) == ["caption"] and methods_of(None, "scenes:3")[:3] == [
        "caption",
        "concept",
        "formula",
    ]
    with pytest.raises(DescriberError, match=r"method must be of caption, .*clip, vlm\. Got 'clips'"):
        methods_of("clips", None)


@pytest.mark.parametrize(
    ("speakers", "named", "found"),
    [
        (["caption"], None, {}),
        (["caption"], "folder", {"caption": "folder"}),
        (["vlm"], "org/model", {"vlm": "org/model"}),
        (["clip"], "clip=a=b", {"clip": "a=b"}),
        (["caption", "clip", "vlm"], "vlm=x, clip=y", {"vlm": "x", "clip": "y"}),
        ([], None, {}),
    ],
)
def test_a_name_goes_to_its_method(speakers: list[str], named: str | None, found: dict[str, str]) -> None:
    assert models_of(speakers, named) == found


@pytest.mark.parametrize(
    ("speakers", "named", "told"),
    [
        (["caption", "clip"], "folder", "--describer must be caption=NAME, clip=NAME. Got 'folder'"),
        (["caption"], "clip=x", "--describer must be caption=NAME"),
        ([], "folder", "--describer must be left out"),
        (["caption"], "caption=", "--describer must be caption=NAME"),
        (["vlm"], None, "vlm must have a model"),
    ],
)
def test_a_name_of_nobody_is_refused(speakers: list[str], named: str | None, told: str) -> None:
    with pytest.raises(DescriberError, match=told):
        models_of(speakers, named)


def test_describers_are_made_by_name(tmp_path: Path) -> None:
    listener, words = tmp_path / "listener", tmp_path / "words.txt"
    small_listener().save_pretrained(listener)
    words.write_text("dogs\n\ngrass\n")
    option = f"vlm,clip@{words}"
    named = f"clip={listener},vlm={save_llava(tmp_path / 'llava')}"
    made = describers_of(["vlm", "clip"], option, named, None, "cpu")
    assert [describer.method for describer in made] == ["vlm", "clip"]
    assert made[1].words == ["dogs", "grass"]
    assert len(words_of(str(listener), "clip", "cpu").words) > 1000, "the captioner's phrases"
