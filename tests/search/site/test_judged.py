"""How far words can be trusted, on the pages: scores with intervals, withdrawn words, and what judged them."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from describer.atlas import Atlas
from describer.search.site.app import make_app
from describer.search.site.export import export_site
from describer.search.site.grid import GridQuery
from describer.search.site.library import Library
from tests.search.site.sites import HOSTILE, Markup, WordFinder, files_of, write_atlas, write_judged_atlas

HERE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_judged_atlas(tmp_path_factory.mktemp("judged") / "atlas")


@pytest.fixture(scope="module")
def client(atlas: Path) -> TestClient:
    return TestClient(make_app(atlas, finder=WordFinder), base_url=HERE)


def units(client: TestClient, address: str) -> list[int]:
    links = Markup(client.get(address).text).links
    return [int(link.rpartition("/")[2]) for link in links if link.startswith("/body.0/")]


def test_a_score_has_its_interval(client: TestClient) -> None:
    text = client.get("/body.0/5").text
    assert "<strong>r 0.50 (0.45 to 0.55)</strong> · p&nbsp;0.01 · q&nbsp;0.02 · reliable" in text
    assert 'd="M145.0 8H155.0"' in text and 'cx="150.0"' in text
    assert "11 images that no exemplar is from" in text


def test_withdrawn_words_are_told_as_withdrawn(client: TestClient) -> None:
    text = client.get("/body.0/4").text
    assert '<h1 class="headline silent">no reliable description</h1>' in text
    assert "Withdrawn: <s>4 towers</s>" in text and "not reliable" in text
    grid = client.get("/body.0").text
    assert "withdrawn: <s>4 towers</s>" in grid and "r 0.40 (0.35 to 0.45)" in grid
    assert 'class="words">4 towers' not in grid and 'class="words">5 towers' in grid
    home = client.get("/").text
    assert "3 described, 4 withdrawn" not in home and "2 described, 4 withdrawn, 1 dead" in home
    assert "4 towers" not in home and ">5 towers</a>" in home and ">None</a>" not in home


def test_hostile_words_are_text_here_too(client: TestClient) -> None:
    for address in ("/body.0/0", "/body.0/5", "/body.0"):
        text = client.get(address).text
        assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_several_meanings_are_listed(client: TestClient) -> None:
    text = client.get("/body.0/5").text
    assert "Several meanings" in text and 'tall towers <span class="small">60 %' in text
    withdrawn = "10 % · r 0.40 (0.30 to 0.50) · q 0.4 · withdrawn: <s>low sheds</s>"
    assert f'<li>no reliable description <span class="small">{withdrawn}' in text
    assert "Several meanings" not in client.get("/body.0/3").text


@pytest.mark.parametrize("unit", [0, 1, 6])
def test_the_evidence_are_the_images_that_judge(client: TestClient, atlas: Path, unit: int) -> None:
    responses = Atlas.open(atlas).responses("body.0")
    assert responses is not None
    answers = sorted(zip(responses.means[unit].tolist(), responses.images.tolist(), strict=True), reverse=True)[:4]
    told = client.get(f"/api/body.0/{unit}").json()["judging"]
    assert [(each["mean"], each["image"]) for each in told["strongest"]] == answers
    assert told["images"] == 11 and told["median"] == sorted(responses.means[unit].tolist())[5]
    text = client.get(f"/body.0/{unit}").text
    for _, image in answers:
        assert f'src="/pictures/{image}.jpg" alt="judging image {image}"' in text
        assert client.get(f"/pictures/{image}.jpg").status_code == 200


def test_evidence_without_pictures_and_atlases_without_a_judge(tmp_path: Path) -> None:
    library = Library(write_judged_atlas(tmp_path / "bare"))
    for image in range(100, 122, 2):
        (tmp_path / "bare" / "thumbnails" / f"{image}.jpg").unlink()
    evidence = library.sheet("stem", 3).evidence
    assert evidence is not None and evidence.n_images == 11 and evidence.shown == ()
    client = TestClient(make_app(tmp_path / "bare", finder=WordFinder), base_url=HERE)
    assert "images that judge" not in client.get("/stem/3").text
    unjudged = Library(write_atlas(tmp_path / "unjudged"))
    assert unjudged.sheet("stem", 3).evidence is None
    assert [telling.verdict for telling in unjudged.sheet("stem", 3).tellings] == [None, None]
    assert {card.measure for card in unjudged.cards("stem")} == {"PMI", "IoU"}


def test_the_grid_is_filtered_by_reliability_and_ordered_by_r(client: TestClient) -> None:
    assert units(client, "/body.0?kind=reliable") == [3, 5]
    assert units(client, "/body.0?kind=withdrawn") == [0, 2, 4, 6]
    assert units(client, "/body.0?kind=silent") == [0, 2, 4, 6]
    assert units(client, "/body.0?sort=score") == [6, 5, 4, 3, 2, 0, 1]
    assert units(client, "/body.0?kind=reliable&sort=score&min=0.4") == [5]
    assert units(client, "/body.0?q=towers") == [3, 5]
    assert units(client, "/body.0?q=towers&kind=withdrawn") == [2, 4, 6]
    assert GridQuery.read({"kind": "reliable"}).asked == {"kind": "reliable"}


def test_search_is_filtered_by_score(client: TestClient) -> None:
    def found(address: str) -> list[str]:
        return [each["id"] for each in client.get(address).json()]

    assert found("/api/search?q=towers&layer=body.0") == ["body.0:3", "body.0:5"]
    assert found("/api/search?q=towers&layer=body.0&min=0.4") == ["body.0:5"]
    assert found("/api/search?q=towers&layer=body.0&min=nan") == ["body.0:3", "body.0:5"]
    told = client.get("/api/search?q=towers&layer=body.0&min=0.4").json()[0]
    assert (told["measure"], told["score"], told["reliable"], told["withdrawn"]) == ("r", 0.5, True, None)
    assert 'name="min" type="number" step="any" value="0.4"' in client.get("/?q=towers&min=0.4").text


def test_files_have_the_same(atlas: Path, tmp_path: Path) -> None:
    first = export_site(atlas, tmp_path / "site", finder=WordFinder)
    page = first.parent / "body.0" / "5" / "index.html"
    assert "r 0.50 (0.45 to 0.55)" in page.read_text() and all(file.is_file() for file in files_of(page))
    pictures = Markup(page.read_text()).links
    told = json.loads((page.parent / "unit.json").read_text())["judging"]
    assert [each["picture"] in pictures for each in told["strongest"]] == [True] * 4
    index = (first.parent / "assets" / "index-1.js").read_text()
    part = json.loads(index.removeprefix("window.describerIndex.push(").removesuffix(");\n"))
    assert [unit[6:] for unit in part["units"][3:5]] == [
        ["r", True, None, 0, [0.25, 0.35], "3 towers"],
        ["r", False, "4 towers", 0, [0.35, 0.45], ""],
    ]
    assert HOSTILE in [unit[8] for unit in part["units"]]
