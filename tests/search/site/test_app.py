"""The server: every page answers, addresses are stable, strangers' words are escaped, strangers' requests refused."""

import io
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape
from PIL import Image

from describer.atlas import Atlas
from describer.description import Description
from describer.errors import AtlasError, DescriberError
from describer.manifest import LayerEntry, Source
from describer.search.answers import COSINE
from describer.search.site.app import make_app, run_app
from describer.search.site.finding import Finder
from describer.search.site.uploads import MOST_BYTES
from tests.describer.worlds import LAYERS, Squares, make_exemplars, make_manifest
from tests.search.site.sites import DISSECTION, HOSTILE, Markup, WordFinder, write_atlas

UNITS = [(layer, unit) for layer, (n_units, _, _) in LAYERS.items() for unit in range(n_units)]
HERE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("site") / "atlas")


@pytest.fixture(scope="module")
def client(atlas: Path) -> TestClient:
    return TestClient(make_app(atlas, finder=WordFinder), base_url=HERE)


def jpeg(size: tuple[int, int] = (89, 97), color: tuple[int, int, int] = (3, 5, 7), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


# Pages


@pytest.mark.parametrize(
    "address",
    ["/", "/?q=red+squares", "/?q=", "/stem", "/body.0", "/head/", "/stem?sort=score&q=red&min=1&page=1",
     "/stem?method=formula&kind=dead", "/stem?min=x&page=-1&sort=%00&kind=<b>", "/stem?page=999"],
)  # fmt: skip
def test_pages_answer(client: TestClient, address: str) -> None:
    done = client.get(address)
    assert done.status_code == 200
    page = Markup(done.text)
    assert [tag for tag, _ in page.tags if tag in ("h1", "main", "title", "html")] == ["html", "title", "main", "h1"]
    assert len(page.ids) == len(set(page.ids))


def test_pages_of_a_generator_lead_to_its_dials(client: TestClient, tmp_path: Path) -> None:
    drawn = replace(make_manifest(layers=("stem",)), images=Source("latents:9:2", "latents-1"))
    drawn = replace(drawn, model=Source(f"my_gan.py:{HOSTILE}", "model-1"))
    Atlas.create(tmp_path / "faces", drawn).close()
    page = TestClient(make_app(tmp_path / "faces", finder=WordFinder), base_url=HERE).get("/").text
    assert f"describer dials {escape(drawn.model.name)} --atlas faces" in page
    assert 'type="file"' not in page  # no picture can be shown to it
    assert "describer dials" not in client.get("/").text and 'type="file"' in client.get("/").text


@pytest.mark.parametrize(("layer", "unit"), UNITS)
def test_a_unit_has_one_address_for_people_and_programs(client: TestClient, atlas: Path, layer: str, unit: int) -> None:
    page, told = client.get(f"/{layer}/{unit}"), client.get(f"/api/{layer}/{unit}").json()
    rows = [row for row in Atlas.open(atlas).units(layer) if row["unit"] == unit]
    assert page.status_code == 200
    assert (told["id"], told["url"]) == (f"{layer}:{unit}", f"/{layer}/{unit}")
    assert {row["method"]: row["description"] for row in told["descriptions"]} == {
        row["method"]: row["description"] for row in rows
    }
    assert [each["image"] for each in told["exemplars"]] == Atlas.open(atlas).exemplars(layer).images[unit].tolist()
    assert f'href="/api/{layer}/{unit}"' in page.text
    preview = client.get(f"/{layer}/{unit}/preview.jpg")
    assert preview.headers["content-type"] == "image/jpeg"
    assert f'content="{HERE}/{layer}/{unit}/preview.jpg"' in page.text
    assert Image.open(io.BytesIO(preview.content)).width > 400


def test_the_name_of_a_unit_leads_to_its_address(client: TestClient) -> None:
    for name, address in (("/body.0:3", "/body.0/3"), ("/body.0:3/", "/body.0/3"), ("/api/stem:0", "/api/stem/0")):
        done = client.get(name, follow_redirects=False)
        assert (done.status_code, done.headers["location"]) == (301, address)
        assert client.get(name).status_code == 200
    for name in ("/body.0:99", "/body.1:3", "/body.0:", "/body.0:03", "/api/body.0:99", "/:3"):
        assert client.get(name).status_code == 404


def test_a_layer_may_have_the_name_of_a_unit(tmp_path: Path) -> None:
    entries = [LayerEntry(name, number, 3, 7, 7) for number, name in enumerate(("a", "a:1"))]
    with Atlas.create(tmp_path / "atlas", replace(make_manifest(), layers=tuple(entries))) as atlas:
        for entry in entries:
            atlas.write_exemplars(replace(make_exemplars("head"), layer=entry.name), Squares())
    client = TestClient(make_app(tmp_path / "atlas", finder=WordFinder), base_url=HERE)
    assert client.get("/a:1").url.path == "/a:1" and "<h1>a:1</h1>" in client.get("/a:1").text
    assert client.get("/a:2").url.path == "/a/2"
    assert client.get("/a:1:2").url.path == "/a:1/2"


@pytest.mark.parametrize(
    "address", ["/", "/stem", "/stem/3", "/stem/3/preview.jpg", "/api/stem/3", "/api/search?q=red", "/assets/site.css",
                "/pictures/3.jpg", "/body.0:3", "/none"],
)  # fmt: skip
def test_head_is_get_without_a_body(client: TestClient, address: str) -> None:
    whole, head = (client.request(way, address, follow_redirects=False) for way in ("GET", "HEAD"))
    assert head.status_code == whole.status_code and head.headers == whole.headers
    assert head.content == b""


def test_who_shares_an_address_shows_the_words(client: TestClient) -> None:
    def shared(address: str) -> dict[str | None, str | None]:
        metas = [each for tag, each in Markup(client.get(address).text).tags if tag == "meta"]
        return {each["property"]: each["content"] for each in metas if "property" in each}

    assert shared("/body.0/4")["og:description"] == "green squares of body.0"
    assert shared("/head/2")["og:description"] == "no reliable description"
    assert shared("/body.0/3")["og:description"] == HOSTILE
    assert shared("/body.0/3")["og:image"] == f"{HERE}/body.0/3/preview.jpg"


def test_programs_and_who_tries_a_picture_see_what_means_the_same(client: TestClient) -> None:
    near = [{"id": "body.0:2", "likeness": None, "url": "/body.0/2"}]
    assert client.get("/api/body.0/3").json()["similar"] == near
    for page in (client.get("/body.0/3"), client.post("/body.0/3", files={"picture": ("x.png", jpeg())})):
        listed = page.text.partition("Units that mean the same")[2].partition("</section>")[0]
        assert Markup(listed).links == ["/body.0/2"]


def test_all_that_pages_lead_to_is_there(client: TestClient) -> None:
    wanted, seen = ["/"], set()
    while wanted:
        address = wanted.pop()
        if address in seen:
            continue
        seen.add(address)
        done = client.get(address)
        assert done.status_code == 200, address
        if done.headers["content-type"].startswith("text/html"):
            wanted += [link.partition("#")[0] or address for link in Markup(done.text).links]
    assert len(seen) > len(UNITS) * 2
    assert {f"/{layer}/{unit}" for layer, unit in UNITS} <= seen
    assert any(address.startswith(f"/examples/{DISSECTION}/") for address in seen)


def test_next_and_previous(client: TestClient) -> None:
    page = Markup(client.get("/body.0/3").text)
    ways = {each["rel"]: each["href"] for tag, each in page.tags if tag == "a" and "rel" in each}
    assert ways == {"prev": "/body.0/2", "next": "/body.0/4"}
    assert 'rel="prev"' not in client.get("/body.0/0").text


def test_units_say_why_they_have_no_words(client: TestClient) -> None:
    assert '<h1 class="headline silent">dead unit</h1>' in client.get("/head/1").text
    assert "no reliable description</h1>" in client.get("/head/2").text


def test_methods_stand_side_by_side_with_evidence(client: TestClient) -> None:
    text = client.get("/stem/4").text
    assert "green squares of stem" in text and "water AND NOT color:4" in text
    for told in ("agree:", "missed:", "false alarm:", "candidates that were weighed", "PMI", "IoU"):
        assert told in text
    assert text.count('class="mask"') > 4


def test_pictures_on_which_the_unit_stays_low_are_shaded_whole(client: TestClient, atlas: Path) -> None:
    exemplars = Atlas.open(atlas).exemplars("head")
    masks = exemplars.masks(7, [0])[0].flatten(1).any(1).tolist()
    tiles = client.get("/head/0").text.partition("</ol>")[0].split('class="tile"')[1:]
    assert [("rim" in tile, "shade" in tile) for tile in tiles] == [(lit, True) for lit in masks]
    assert True in masks and False in masks


def test_grid_is_filtered_and_ordered(client: TestClient) -> None:
    def units(address: str) -> list[str]:
        links = Markup(client.get(address).text).links
        return [link for link in links if link.startswith("/body.0/")]

    assert units("/body.0") == [f"/body.0/{unit}" for unit in range(7)]
    assert units("/body.0?sort=score") == [f"/body.0/{unit}" for unit in (6, 5, 4, 3, 0, 1, 2)]
    assert units("/body.0?q=GREEN+squares") == [f"/body.0/{unit}" for unit in (0, 4, 6)]
    assert units("/body.0?kind=dead") == ["/body.0/1"]
    assert units("/body.0?kind=silent") == ["/body.0/2"]
    assert units("/body.0?min=1.6") == [f"/body.0/{unit}" for unit in (5, 6)]
    assert units("/body.0?method=formula") == []


def test_units_with_a_formula_are_told_apart(client: TestClient, tmp_path: Path) -> None:
    def units(client: TestClient, address: str) -> list[str]:
        page = Markup(client.get(address).text)
        return [link for link in page.links if link.startswith(address.partition("?")[0] + "/")]

    assert len(units(client, "/stem?kind=formula")) == LAYERS["stem"][0]
    assert units(client, "/body.0?kind=formula") == []
    form = [
        Description("head", unit, "red" if unit == 2 else None, "formula", formula="red" if unit == 2 else None)
        for unit in range(3)
    ]
    path = write_atlas(tmp_path / "atlas")
    with Atlas.create(path, Atlas.open(path).meta) as atlas:
        atlas.write_descriptions("head", "formula", form)
    own = TestClient(make_app(path, finder=WordFinder), base_url=HERE)
    assert units(own, "/head?kind=formula") == ["/head/2"], "its form is its headline"
    assert '<option value="formula" selected>with a formula' in own.get("/head?kind=formula").text


def test_search_shows_what_is_found(client: TestClient) -> None:
    text = client.get("/?q=red+squares&layer=body.0").text
    assert "1 unit for “red squares”" in text and '"/body.0/5"' in text
    assert client.get("/api/search?q=red+squares&layer=body.0").json()[0]["id"] == "body.0:5"
    assert client.get("/api/search?q=").json() == []
    assert [each["layer"] for each in client.get("/api/layers").json()] == list(LAYERS)


def test_the_order_of_what_is_found_is_the_one_that_is_told(atlas: Path) -> None:
    client = TestClient(make_app(atlas, finder=Finder), base_url=HERE)
    found = client.get("/api/search?q=green+squares&how=reranked").json()
    notes = [re.fullmatch(r"PMI (.+) of your words, likeness (.+)", each["why"]) for each in found]
    scores = [float(note[1]) + COSINE * float(note[2]) for note in notes if note]
    assert len(scores) == len(found) > 7
    assert all(later <= earlier + 0.01 + COSINE * 0.01 for earlier, later in pairwise(scores)), "but for rounding"
    assert [float(note[1]) for note in notes if note] != sorted((float(n[1]) for n in notes if n), reverse=True)
    told = client.get("/?q=green+squares&how=reranked").text
    assert f"in nats) plus {COSINE:g} times the likeness" in told
    assert "likeness" in client.get("/api/search?q=green+squares&how=fused").json()[0]["why"]


# Strangers


@pytest.mark.parametrize(
    "address", ["/", "/stem", "/stem/3", "/body.0/3", f"/?q={quote(HOSTILE)}", f"/{quote(HOSTILE)}"]
)
def test_hostile_words_are_text(client: TestClient, address: str) -> None:
    text = client.get(address).text
    page = Markup(text)
    assert [
        each for tag, each in page.tags if tag == "script" and not (each.get("src") or "").startswith("/assets/")
    ] == []
    assert [name for _, each in page.tags for name in each if name.startswith("on") or name == "style"] == []
    assert not any(tag == "style" for tag, _ in page.tags)
    assert "<script>alert" not in text and "onerror=alert(2)>" not in text.replace("onerror=alert(2)&gt;", "")
    assert "49" not in text.partition("<title>")[2].partition("</title>")[0]


@pytest.mark.parametrize("address", ["/", "/stem/3", "/nothing", "/pictures/0.jpg", "/assets/site.js", "/api/stem/3"])
def test_every_answer_forbids_what_it_does_not_bring(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "address",
    [
        "/pictures/../atlas.json", "/pictures/..%2fatlas.json", "/pictures/%2e%2e/atlas.json", "/pictures/0.jpg/",
        "/pictures/..%5c..%5catlas.json", "/pictures/-1.jpg", "/pictures/00.jpg", "/pictures/1e1.jpg",
        "/pictures/٣.jpg",        "/pictures/99999999999999999999.jpg",
        "/assets/../app.py", "/assets/..%2fapp.py", "/assets/%2fetc%2fpasswd",
        "/assets/base.html", f"/examples/{DISSECTION}/..%2f..%2fabout.json", "/examples/..%2f..%2f/0.jpg",
        "/examples/../thumbnails/0.jpg", f"/examples/{DISSECTION}/99.jpg", "/..%2f..%2fatlas.json", "/%00", "/stem/%00",
        "/stem/99", "/stem/-1", "/stem/1.0", "/stem/" + "9" * 5000, "/" + "a" * 5000, "/api/stem", "/api/stem/99",
        "/api/../atlas.json", "/stem/3/preview.png", "/stem/99/preview.jpg", "/%ff%fe", "//stem/3", "/docs",
        "/openapi.json",
    ],
)  # fmt: skip
def test_nothing_else_is_given_away(client: TestClient, address: str) -> None:
    done = client.get(address)
    assert done.status_code == 404
    assert b'"format": 1' not in done.content and b"def _" not in done.content


def test_a_link_out_of_the_atlas_is_not_followed(tmp_path: Path) -> None:
    atlas = write_atlas(tmp_path / "atlas")
    secret = tmp_path / "secret.jpg"
    Image.new("RGB", (7, 7)).save(secret)
    picture = next((atlas / "thumbnails").glob("*.jpg"))
    picture.unlink()
    picture.symlink_to(secret)
    client = TestClient(make_app(atlas, finder=WordFinder), base_url=HERE)
    assert client.get(f"/pictures/{picture.name}").status_code == 404


def test_only_its_own_names_are_answered(atlas: Path, client: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::2]", ""):
        assert client.get("/", headers={"host": host}).status_code == 421
    for host in ("localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000"):
        assert client.get("/", headers={"host": host}).status_code == 200
    open_to_all = TestClient(make_app(atlas, hosts=None, finder=WordFinder), base_url="http://my.example")
    assert open_to_all.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {"origin": "null"}]
)
def test_forms_of_other_sites_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/", files={"picture": jpeg()}, headers=headers).status_code == 403


def test_forms_of_its_own_pages_are_taken(client: TestClient) -> None:
    """As browsers send them: with the origin, which they would hide under the policy no-referrer."""
    headers = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert client.post("/", files={"picture": jpeg()}, headers=headers).status_code == 200
    assert "no-referrer" not in client.get("/").text


# Pictures of readers


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_picture_finds_units(atlas: Path, kind: str) -> None:
    client = TestClient(make_app(atlas, finder=WordFinder), base_url=HERE)
    done = client.post("/?layer=body.0", files={"picture": ("x", jpeg(kind=kind))})
    assert done.status_code == 200
    assert "fire most on your picture" in done.text and 'src="data:image/jpeg;base64,' in done.text


@pytest.mark.parametrize(
    "content",
    [b"", b"not a picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", jpeg()[:60],
     jpeg(kind="JPEG")[:200], jpeg(kind="PPM"), b"GIF89a" + b"\xff" * 20],
    ids=["empty", "text", "svg", "eps", "half a png", "half a jpeg", "ppm", "broken gif"],
)  # fmt: skip
def test_what_is_no_picture_is_refused(client: TestClient, content: bytes) -> None:
    for address in ("/", "/stem/3"):
        done = client.post(address, files={"picture": ("x.jpg", content)})
        assert done.status_code == 422
        assert "A picture must be" in done.text


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    done = client.post("/", files={"picture": ("x.png", file.getvalue())})
    assert done.status_code == 422 and "9000 x 9000" in done.text


def test_too_many_bytes_are_refused(client: TestClient) -> None:
    large = b"\xff\xd8" + bytes(MOST_BYTES + 200_000)
    assert client.post("/", files={"picture": ("x.jpg", large)}).status_code == 413

    def parts():  # no length is told beforehand
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="x"\r\n\r\n'
        for _ in range(12):
            yield bytes(1_000_000)
        yield b"\r\n--x--\r\n"

    told = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/", content=parts(), headers=told).status_code == 413
    for length in ("-1", "1e3", "9" * 400, "x"):
        assert client.post("/", headers={"content-length": length}, content=b"").status_code == 413


def test_a_model_in_a_file_that_the_atlas_names_is_not_run(client: TestClient) -> None:
    done = client.post("/stem/3", files={"picture": ("x.png", jpeg())})
    assert done.status_code == 422
    assert "must be named by you. Got nets.py:small" in done.text


# The server itself


def test_no_atlas_and_no_port(tmp_path: Path, atlas: Path) -> None:
    with pytest.raises(AtlasError, match="must be an atlas"):
        make_app(tmp_path)
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DescriberError, match="must be free to listen on"):
            run_app(make_app(atlas), "127.0.0.1", taken.getsockname()[1], print)


def test_what_is_written_meanwhile_is_seen(tmp_path: Path) -> None:
    path = write_atlas(tmp_path / "atlas")
    client = TestClient(make_app(path, finder=WordFinder), base_url=HERE)
    assert json.loads(client.get("/api/layers").text)[0]["methods"] == ["caption", "formula"]
    with Atlas.create(path, Atlas.open(path).meta) as atlas:
        rows = [row for row in atlas.units("head") if row["unit"] == 0]
        assert rows[0]["method"] == "caption"
        told = [Description("head", unit, "tall towers", "vlm", {"pmi": 9.0}) for unit in range(3)]
        atlas.write_descriptions("head", "vlm", told)
    assert "tall towers" in client.get("/head/0").text
