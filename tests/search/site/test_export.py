"""The folder of files: every link leads to a file, it goes on where it stopped, and no unit is too heavy."""

import json
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from describer.atlas import Atlas
from describer.cli import app
from describer.description import Candidate, Description
from describer.errors import AtlasError, DescriberError
from describer.exemplars import Exemplars
from describer.search.index import Searcher
from describer.search.site.export import MOST_BYTES, export_site
from describer.search.site.finding import Progress
from describer.search.site.links import FileLinks, folder_name
from tests.describer.worlds import LAYERS, make_exemplars, make_manifest
from tests.search.site.sites import HOSTILE, Markup, WordFinder, files_of, write_atlas


def export(atlas: Path, site: Path, progress: Progress | None = None) -> Path:
    """The folder, with neighbours by meaning that are cheap to find."""
    return export_site(atlas, site, progress, WordFinder).parent


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("exported") / "atlas")


@pytest.fixture(scope="module")
def site(atlas: Path) -> Path:
    return export(atlas, atlas.with_name("site"))


def weight(page: Path) -> int:
    """Bytes of a unit: its folder and every picture its page shows."""
    own = [path for path in page.parent.iterdir()]
    pictures = {path for path in files_of(page) if path.suffix == ".jpg"}
    return sum(path.stat().st_size for path in {*own, *pictures})


def test_every_link_leads_to_a_file(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + sum(2 + n_units for n_units, _, _ in LAYERS.values())
    for page in pages:
        for file in files_of(page):
            assert file.is_file() and file.is_relative_to(site.resolve()), (page, file)


def test_a_shared_page_shows_the_words_and_no_picture_that_cannot_be_reached(site: Path) -> None:
    tags = Markup((site / "body.0" / "4" / "index.html").read_text(encoding="utf-8")).tags
    shared = {each["property"]: each["content"] for tag, each in tags if tag == "meta" and "property" in each}
    assert shared["og:description"] == "green squares of body.0" and "og:image" not in shared
    assert not list(site.rglob("preview.jpg"))


def test_every_unit_is_there_and_light(site: Path) -> None:
    for layer, (n_units, _, _) in LAYERS.items():
        for unit in range(n_units):
            page = site / layer / str(unit) / "index.html"
            assert json.loads((page.parent / "unit.json").read_text(encoding="utf-8"))["id"] == f"{layer}:{unit}"
            assert weight(page) <= MOST_BYTES


def test_pages_have_a_policy_and_hostile_words_are_text(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert '<meta http-equiv="Content-Security-Policy"' in text
        scripts = [each for tag, each in Markup(text).tags if tag == "script"]
        assert all((each["src"] or "").split("/")[-2] == "assets" for each in scripts)
        assert "<script>alert" not in text
    for part in (site / "assets").glob("index-*.js"):
        assert "\u2028" not in part.read_text(encoding="utf-8")


def test_the_index_of_the_search_holds_every_unit(site: Path, atlas: Path) -> None:
    names = json.loads((site / "assets" / "index.js").read_text().partition("=")[2].rstrip(";\n"))
    found, n_denied = {}, 0
    for name in names:
        text = (site / "assets" / name).read_text()
        part = json.loads(text.removeprefix("window.describerIndex.push(").removesuffix(");\n"))
        for unit, words, form, _, dead, images, *_, searched in part["units"]:
            found[f"{part['layer']}:{unit}"] = (words, bool(dead))
            denied = "NOT color:4" in f"{words} {form}"
            n_denied += denied
            assert not denied or ("water" in searched and "color" not in searched and "NOT" not in searched)
            assert (site / part["folder"] / str(unit) / "index.html").is_file()
            assert all((site / "pictures" / f"{image}.jpg").is_file() for image in images)
    rows = {row["id"]: row for row in Atlas.open(atlas).units() if row["method"] == "caption"}
    assert n_denied
    assert found.keys() == rows.keys()
    for name, (words, dead) in found.items():
        assert dead == rows[name]["dead"]
        assert words == rows[name]["description"] or rows[name]["description"] is None


def test_units_that_mean_the_same_are_told(site: Path) -> None:
    page, told = site / "body.0" / "3" / "index.html", json.loads((site / "body.0" / "3" / "unit.json").read_text())
    listed = page.read_text(encoding="utf-8").partition("Units that mean the same")[2].partition("</section>")[0]
    assert [each["id"] for each in told["similar"]] == ["body.0:2"]
    assert Markup(listed).links == [each["url"] for each in told["similar"]] == ["../../body.0/2/index.html"]


class NoFinder(WordFinder):
    """A search that cannot be had."""

    def ready(self) -> str:
        raise AtlasError("There is no captioner.")


def test_without_the_search_they_are_left_out_until_it_is_there(atlas: Path, tmp_path: Path) -> None:
    page = export_site(atlas, tmp_path / "site", finder=NoFinder).parent / "body.0" / "3"
    assert "mean the same" not in (page / "index.html").read_text(encoding="utf-8")
    assert json.loads((page / "unit.json").read_text(encoding="utf-8"))["similar"] == []
    export(atlas, tmp_path / "site")
    assert "mean the same" in (page / "index.html").read_text(encoding="utf-8")


def test_the_index_is_made_and_knows_them(atlas: Path, tmp_path: Path) -> None:
    path, seen = shutil.copytree(atlas, tmp_path / "atlas"), set()
    page = export_site(path, tmp_path / "site", lambda stage, *_: seen.add(stage)).parent / "body.0" / "3"
    near = Searcher(path).search(unit="body.0:3", k=8)
    told = json.loads((page / "unit.json").read_text(encoding="utf-8"))["similar"]
    assert [each["id"] for each in told] == [f"{hit.layer}:{hit.unit}" for hit in near] and len(told) == 8
    assert [each["likeness"] for each in told] == pytest.approx([hit.score for hit in near], abs=1e-5)
    assert "encoding exemplars" in seen
    assert json.loads((page.parent / "1" / "unit.json").read_text(encoding="utf-8"))["similar"] == []  # dead


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize(("query", "wanted"), [("GREEN+square&layer=body.0", ["6", "4", "0", "5"]), ("nothing", [])])
def test_a_browser_searches_the_files(site: Path, tmp_path: Path, query: str, wanted: list[str]) -> None:
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    address = f"{(site / 'index.html').resolve().as_uri()}?q={query}"
    done = subprocess.run(
        [*map(str, command), "--virtual-time-budget=5000", address],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    results = done.stdout.partition('id="results"')[2].partition("<h2>Layers")[0]
    assert f"{len(wanted)} units" in results
    found = [link for link in Markup(results).links if link.endswith("index.html")]
    assert found == [f"body.0/{unit}/index.html" for unit in wanted]


def test_it_goes_on_where_it_stopped(atlas: Path, tmp_path: Path) -> None:
    site, whole = tmp_path / "site", export(atlas, tmp_path / "whole")

    def stop(stage: str, done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(atlas, site, stop)
    kept = site / "stem" / "3" / "index.html"
    before = kept.stat().st_mtime_ns
    (site / "stem" / "2" / "unit.json").write_text("{half")
    (site / "stem" / "2" / "index.html").write_text("half")
    export(atlas, site)
    assert kept.stat().st_mtime_ns == before
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert all((site / name).read_bytes() == (whole / name).read_bytes() for name in names)


def test_another_atlas_is_written_anew(tmp_path: Path) -> None:
    path, site = write_atlas(tmp_path / "atlas"), tmp_path / "site"
    export(path, site)
    with Atlas.create(path, Atlas.open(path).meta) as atlas:
        atlas.write_descriptions("head", "vlm", [Description("head", u, "tall towers", "vlm") for u in range(3)])
    export(path, site)
    assert "tall towers" in (site / "head" / "0" / "index.html").read_text(encoding="utf-8")


class Blue:
    """Pictures of another probe set."""

    def image(self, index: int, /) -> Image.Image:
        return Image.new("RGB", (112, 112), (0, 0, 255))


def write_blue_atlas(path: Path) -> Path:
    """Of the layer head alone, with the image numbers of `write_atlas`."""
    with Atlas.create(path, make_manifest({"seed": 5}, ("head",))) as atlas:
        told = [Description("head", unit, "blue", "caption") for unit in range(3)]
        atlas.write_layer("head", make_exemplars("head"), told, Blue())
    return path


def contents(site: Path) -> dict[Path, bytes]:
    return {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stopped", [False, True])
def test_a_folder_used_again_holds_nothing_of_the_earlier_atlas(atlas: Path, tmp_path: Path, stopped: bool) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stopped and done == 6:
            (tmp_path / "site" / "stem" / ".part-index.html").write_text("half")
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        export(atlas, tmp_path / "site", stop)
    blue = write_blue_atlas(tmp_path / "blue")
    export(blue, tmp_path / "site")
    assert contents(tmp_path / "site") == contents(export(blue, tmp_path / "new"))
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == sorted(
        path.name for path in (tmp_path / "new").iterdir()
    )


def test_other_files_in_a_folder_used_again_stay(atlas: Path, tmp_path: Path) -> None:
    site = export(atlas, tmp_path / "site")
    own = ["CNAME", ".git/HEAD", "stem/notes.txt", "stem/0/notes.txt", "pictures/me.jpg", "blog/2024/index.html"]
    own += ["assets/own.js", "examples/x.jpg"]
    for name in own:
        (site / name).parent.mkdir(exist_ok=True, parents=True)
        (site / name).write_text("mine")
    (site / "body.0" / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "7.jpg").write_text("mine")
    (site / "stem" / "linked").symlink_to(tmp_path / "elsewhere")
    mark = json.loads((site / "site.json").read_text())
    (site / "site.json").write_text(json.dumps({**mark, "layers": [*mark["layers"], "..", "../elsewhere"]}))
    export(write_blue_atlas(tmp_path / "blue"), site)
    assert [name for name in own if (site / name).read_text() != "mine"] == []
    assert (site / "body.0" / "empty").is_dir() and not (site / "body.0" / "index.html").exists()
    assert not (site / "stem" / "index.html").exists() and not (site / "stem" / "3").exists()
    assert (tmp_path / "elsewhere" / "7.jpg").read_text() == "mine"


def test_words_written_anew_are_shown(tmp_path: Path) -> None:
    path, site = write_atlas(tmp_path / "atlas"), tmp_path / "site"
    export(path, site)
    with Atlas.create(path, Atlas.open(path).meta) as atlas:
        told = [Description("head", unit, "tall towers", "caption", {"pmi": 9.0}) for unit in range(3)]
        atlas.write_descriptions("head", "caption", told)
    export(path, site)
    assert "tall towers" in (site / "head" / "0" / "index.html").read_text(encoding="utf-8")


def test_foreign_folders_are_left_alone(atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DescriberError, match=r"must be new, empty or exported before\. Got .* which holds thesis.tex"):
        export(atlas, tmp_path)
    with pytest.raises(DescriberError, match="must be a folder"):
        export(atlas, tmp_path / "thesis.tex")
    with pytest.raises(AtlasError, match="must be an atlas"):
        export(tmp_path, tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "site.json").write_text('{"title": "somebody else\'s"}')
    with pytest.raises(DescriberError, match=r"must be new, empty or exported before\."):
        export(atlas, tmp_path)


class Noise:
    """Pictures that no JPEG makes small."""

    def image(self, index: int, /) -> Image.Image:
        return Image.fromarray(np.random.default_rng(index).integers(0, 255, (112, 112, 3), np.uint8))


def test_a_unit_with_too_much_to_show_shows_less(tmp_path: Path) -> None:
    few = make_exemplars("head")
    k = 61
    many = Exemplars(
        "head",
        few.unit_ids,
        few.images.new_tensor([[(unit + rank) % 97 for rank in range(k)] for unit in range(3)]),
        few.activations.repeat(1, k)[:, :k],
        few.maps.repeat(1, k, 1, 1)[:, :k],
        few.threshold,
        few.dead & False,
    )
    n_best = tuple(Candidate(HOSTILE * 300, -3.0, -8.0, 1.0, "beam") for _ in range(97))
    told = [Description("head", unit, HOSTILE * 999, "caption", {"pmi": 1.0}, n_best) for unit in range(3)]
    with Atlas.create(tmp_path / "atlas", make_manifest(layers=("head",))) as atlas:
        atlas.write_layer("head", many, told, Noise())
    site = export(tmp_path / "atlas", tmp_path / "site")
    for unit in range(3):
        page = site / "head" / str(unit) / "index.html"
        shown = sum(tag == "img" for tag, _ in Markup(page.read_text(encoding="utf-8")).tags)
        assert weight(page) <= MOST_BYTES
        assert 10 < shown < k


def test_folders_of_layers_stay_inside_and_apart() -> None:
    names = [
        "layer4",
        "4",
        "body.0",
        "..",
        ".",
        "a/../b",
        "a/b",
        "a%2Fb",
        "pictures",
        "index.html",
        "é",
        "x" * 300,
        "x" * 299,
    ]
    folders = [folder_name(name) for name in names]
    assert len(set(folders)) == len(names)
    assert folders[:3] == names[:3]
    for folder in folders:
        assert "/" not in folder and "\\" not in folder and not folder.startswith(".") and len(folder) < 200
        assert folder not in ("pictures", "assets", "examples", "index.html", "site.json")
    assert FileLinks(2).unit("a/b", 3) == "../../a%252Fb/3/index.html"


def test_verb_prints_the_first_page(atlas: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(atlas), str(tmp_path / "site")])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'site' / 'index.html'}\n")
    done = CliRunner().invoke(app, ["export", str(tmp_path / "none"), str(tmp_path / "site")])
    assert done.exit_code == 2 and done.stderr.startswith("describer: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["serve", "export"])
def test_help_ends_in_an_example(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "--help"])
    last = [line for line in done.stdout.splitlines() if line.strip()][-1]
    assert done.exit_code == 0 and last.strip().startswith(f"Example: describer {verb}")
    assert max(map(len, done.stdout.splitlines())) <= 100
