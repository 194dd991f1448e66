"""The pages in Chromium, as people use them: search, browse, try pictures, annotate, turn dials.

Whatever a test does, the console must stay empty and no request may leave the server. Skipped where Debian's packages
chromium and chromium-driver are not installed.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from describer.atlas import Atlas
from describer.data.images import load_images
from describer.data.targets import load_target
from describer.eval.control.dialpage import make_dialboard
from describer.eval.control.dials import Dials
from describer.search.site.annotate import make_annotator
from describer.search.site.annotations import Annotations
from describer.search.site.app import make_app
from describer.search.site.export import export_site
from tests.eval.described import PAINTER, SORTER, describe_colors, write_photos
from tests.search.site.browsers import CHROMIUM, DRIVER, Browser, running, served
from tests.search.site.sites import WordFinder, write_atlas, write_judged_atlas

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and its driver must be installed: apt-get install chromium-driver"
)
PAGES = ("", "?q=red+squares", "stem", "stem/3", "stem/4", "head/1")
"Of the drawn atlas: the first one, what is found, a layer, and units: hostile, with a form, dead."


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.begin()
    yield chromium
    assert chromium.faults() == []


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("drawn") / "atlas")


@pytest.fixture(scope="module")
def site(drawn: Path) -> Path:
    """The first page of the drawn atlas as files."""
    return export_site(drawn, drawn.with_name("site"), finder=WordFinder)


@pytest.fixture(scope="module")
def pages(drawn: Path) -> Iterator[str]:
    with running(make_app(drawn, finder=WordFinder)) as home:
        yield home


# Search, browse, try


@pytest.mark.slow  # a process of its own reads the captioner
def test_from_words_to_a_unit_to_its_neighbours_to_pictures(browser: Browser, tmp_path: Path) -> None:
    """Of a network whose units 0, 1 and 2 see red, green and blue."""
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", {"red": 5, "green": 7, "blue": 3}, lambda *_: None)
    describe_colors(load_target(SORTER), load_images(str(photos)), tmp_path / "atlas", 0.9)
    with served("serve", str(tmp_path / "atlas"), "--model", SORTER) as (home, _):
        browser.open(home)
        browser.find("#q").send_keys("red", Keys.ENTER)
        assert "units for “red”" in browser.find("#results h2").text
        first = browser.find("#results .card a")
        assert first.text.startswith("red") and "layer1:0" in first.text
        first.click()
        assert browser.path == "/layer1/0" and browser.find("h1").text == "red"
        assert browser.find('meta[property="og:image"]').get_attribute("content") == f"{home}layer1/0/preview.jpg"
        told = browser.find(".beside a").text
        browser.find(".beside a").click()
        assert browser.path != "/layer1/0" and browser.find("h1").text == told
        browser.open(f"{home}layer1/0")
        browser.find("#picture").send_keys(str(photos / "red" / "00.png"))
        browser.find("#drop button").click()
        assert "above its threshold" in browser.find(".tried").text
        browser.drop(photos / "green" / "00.png", "#drop")
        browser.until(lambda: "below its threshold" in browser.find(".tried").text)
        browser.open(home)
        browser.drop(photos / "green" / "01.png", "h1")
        assert "fire most on your picture" in browser.find("#results h2").text
        assert "layer1:1" in browser.find("#results .card").text


def test_keys(browser: Browser, pages: str) -> None:
    def keys(key: str, path: str) -> None:
        browser.press(key)
        browser.until(lambda: browser.path == path)

    browser.open(f"{pages}body.0/3")
    keys(Keys.ARROW_RIGHT, "/body.0/4")
    keys(Keys.ARROW_LEFT, "/body.0/3")
    assert browser.find(".mask").is_displayed()
    browser.press("m")
    assert not browser.find(".mask").is_displayed()
    keys("j", "/body.0/4")
    assert not browser.find(".mask").is_displayed()  # as it was left
    browser.press("/", "mu")
    assert browser.find("#q").get_attribute("value") == "mu" and browser.path == "/body.0/4"
    browser.press(Keys.TAB)
    keys("u", "/body.0")
    browser.press(Keys.ARROW_RIGHT)  # there is no second page
    assert browser.path == "/body.0"


def test_a_picture_is_shown_large_and_put_back(browser: Browser, pages: str) -> None:
    browser.open(f"{pages}stem/4")
    browser.find("a.zoom").click()
    assert browser.find("dialog").is_displayed() and browser.find("dialog img").rect["width"] > 400
    browser.press(Keys.ESCAPE)
    browser.until(lambda: not browser.all("dialog"))
    assert browser.runs("document.activeElement.className") == "zoom"
    browser.find("#large").click()
    assert browser.find(".tiles img").rect["width"] > 200


def test_files_without_a_server(browser: Browser, site: Path) -> None:
    browser.open(site.as_uri())
    browser.find("#q").send_keys("green squares", Keys.ENTER)
    browser.until(lambda: browser.texts("#results > p") == ["7 units for “green squares”"])
    assert "?q=green+squares" in browser.driver.current_url
    browser.driver.refresh()
    browser.find("#results .card a").click()
    assert browser.path.endswith("/index.html") and browser.find("h1").text.startswith("green squares")
    assert not browser.all("#picture")  # which no file could answer
    browser.press("u")
    browser.until(lambda: browser.all("#filters"))
    browser.open((site.parent / "stem" / "index.html").as_uri())
    browser.find("#filters [name=q]").send_keys("script", Keys.ENTER)  # hostile words, made into cards by the script
    browser.until(lambda: browser.texts("#results > p") == ["1 unit"])
    assert browser.find("#results .card .words").text.startswith("<script>alert(1)</script>")
    for layer, told in (("body.0", "0 units"), ("stem", "5 units")):
        browser.open((site.parent / layer / "index.html").as_uri())
        browser.find("#filters [value=formula]").click()
        browser.find("#filters button").click()
        browser.until(lambda told=told: browser.texts("#results > p") == [told])


def test_files_tell_how_sure_a_score_is(browser: Browser, tmp_path: Path) -> None:
    site = export_site(write_judged_atlas(tmp_path / "atlas"), tmp_path / "site", finder=WordFinder)
    browser.open(f"{site.as_uri()}?q=5+towers&layer=body.0")
    browser.until(lambda: browser.all("#results .card"))
    assert browser.texts("#results .card > a > .small")[0] == "body.0:5 · r 0.50 (0.45 to 0.55)"


# For everybody


def test_without_scripts(browser: Browser, pages: str, site: Path) -> None:
    browser.emulate(scripts=False)
    browser.open(pages)
    browser.find("#q").send_keys("red squares", Keys.ENTER)
    browser.find("#results .card a").click()
    assert "red squares" in browser.find("h1").text and browser.find(".mask").is_displayed()
    browser.find("#masks").click()
    assert not browser.find(".mask").is_displayed()
    assert not any(each.is_displayed() for each in browser.all(".needs-script"))
    browser.open(site.as_uri())
    assert "needs JavaScript" in browser.find("noscript").text
    browser.find(".layers h3 a").click()
    browser.find(".card a").click()
    assert browser.find("h1").text and browser.find(".tiles img").is_displayed()


def test_dark_and_light(browser: Browser, pages: str) -> None:
    def light() -> int:
        return sum(map(int, browser.runs("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")))

    browser.emulate(dark=True)
    browser.open(pages)
    assert light() < 150 and browser.find("#theme").text == "Light"
    browser.find("#theme").click()
    assert light() > 700
    browser.open(f"{pages}stem/4")
    assert light() > 700 and browser.find("#theme").get_attribute("aria-pressed") == "false"  # as it was left


def test_a_phone(browser: Browser, pages: str) -> None:
    browser.emulate(320)
    for page in PAGES:
        browser.open(pages + page)
        assert browser.runs("document.documentElement.scrollWidth") == 320, page
    browser.open(f"{pages}stem/4")
    assert all(each.rect["width"] > 90 for each in browser.all("td:first-child"))
    lines = "(cell) => { const all = new Range(); all.selectNodeContents(cell); return all.getClientRects().length; }"
    found = browser.runs(f"Array.from(document.querySelectorAll('td:not(:first-child), dd'), {lines})")
    assert len(found) > 5 and set(found) == {1}  # no number is broken


def test_nobody_is_kept_out(browser: Browser, pages: str, tmp_path: Path) -> None:
    with running(make_app(write_judged_atlas(tmp_path / "atlas"), finder=WordFinder)) as judged:
        found: list[str] = []
        for address in (*(pages + page for page in PAGES[:-1]), f"{judged}body.0/5"):
            browser.open(address)
            found += browser.barriers()
        browser.emulate(dark=True)
        for address in (f"{pages}?q=red+squares", f"{judged}body.0/5"):
            browser.open(address)
            found += browser.barriers("color-contrast")
    assert found == []


# Annotate


def test_sentences_of_a_killed_server_stay(browser: Browser, drawn: Path, tmp_path: Path) -> None:
    with served("annotate", str(drawn), "--layer", "body.0", "--out", str(tmp_path / "said")) as (home, process):
        browser.open(home)
        assert browser.barriers() == []
        browser.find("#who").send_keys("Ana", Keys.ENTER)
        browser.find("#text").send_keys("red squares", Keys.ENTER)
        browser.until(lambda: browser.texts(".top .small") == ["Ana · 1 of 6 seen"])
        first = browser.path
        assert browser.barriers() == []
        browser.find('[value="skip"]').click()
        browser.until(lambda: browser.path != first)
        browser.find('[action="/undo"] button').click()
        browser.until(lambda: browser.path == first)
        browser.find("#text").send_keys("...", Keys.ENTER)
        assert "A sentence must have" in browser.find("#fault").text
        refused = browser.faults()
        assert refused and all("422" in fault for fault in refused)
        process.kill()
    with Annotations(tmp_path / "said") as kept, running(make_annotator(drawn, kept, ["body.0"])) as home:
        browser.open(home)
        assert "1 of 6 units have a sentence" in browser.find("main").text and "Ana: 1" in browser.find("main").text
        browser.find("#who").send_keys("Ana", Keys.ENTER)
        assert browser.find("#text") and browser.path == first
        assert list(kept.sentences("body.0").values()) == [["red squares"]]


# Dials


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of dials of a generator whose units paint brown, red and green."""
    target, path = load_target(PAINTER), tmp_path_factory.mktemp("painter") / "atlas"
    describe_colors(target, load_images("latents:23:5", target), path, 0.9)
    with running(make_dialboard(Dials(target, Atlas.open(path), seed=4, n=4, top=1))) as home:
        yield home


class Board:
    """What its reader does and sees."""

    def __init__(self, browser: Browser, home: str) -> None:
        self.browser = browser
        browser.open(home)
        self.settled()

    def settled(self) -> list[str]:
        """The samples, once all moves are made."""
        self.browser.until(lambda: not self.browser.all(".busy") and all(self.samples()))
        return self.samples()

    def samples(self) -> list[str]:
        return [each.get_attribute("src") or "" for each in self.browser.all(".sample img")]

    def click(self, selector: str) -> list[str]:
        self.browser.find(selector).click()
        return self.settled()

    def draw(self, number: int) -> list[str]:
        """A box over the middle of a sample."""
        sample = self.browser.all(".sample")[number]
        start = ActionChains(self.browser.driver).move_to_element_with_offset(sample, -20, -20)
        start.click_and_hold().move_by_offset(40, 40).release().perform()
        return self.settled()


def test_dials_are_turned_and_taken_back(browser: Browser, board: str) -> None:
    page = Board(browser, board)
    as_drawn = page.samples()
    assert browser.barriers() == [] and not browser.find("#undo").is_enabled()
    browser.find('[data-words="brown"]').send_keys(*[Keys.ARROW_LEFT] * 3)
    turned = page.settled()
    assert turned != as_drawn and browser.texts(".dial.turned output") == ["0.7"]
    assert browser.find("#count").text == "3 steps"
    browser.find("#brush").send_keys("green")
    painted = page.draw(2)
    assert [a == b for a, b in zip(turned, painted, strict=True)] == [True, True, False, True]
    assert page.click("#undo") == turned and page.click("#redo") == painted
    browser.driver.refresh()
    assert page.settled() == painted and browser.texts(".dial.turned output") == ["0.7"]
    for _ in range(4):
        last = page.click("#undo")
    assert last == as_drawn and not browser.find("#undo").is_enabled() and not browser.all(".dial.turned")


def test_dials_of_other_words(browser: Browser, board: str) -> None:
    page = Board(browser, board)
    before = page.samples()
    browser.find("#words").send_keys("bwon", Keys.ENTER)
    page.settled()
    assert "nearest descriptions" in browser.find("#fault").text and page.samples() == before
    refused = browser.faults()
    assert refused and all("422" in fault for fault in refused)
    page.draw(1)  # without words
    assert browser.find("#fault").text == "Say first what to paint."
    browser.find("#words").clear()  # what was refused stays, to be mended
    browser.find("#words").send_keys("Brown", Keys.ENTER)
    page.settled()
    assert browser.texts("#steps li") == ["set Brown 1"] and not browser.find("#fault").is_displayed()
    browser.find('[data-words="Brown"]').send_keys(Keys.ARROW_RIGHT)
    turned = page.settled()
    browser.driver.refresh()
    assert page.settled() == turned and browser.texts(".dial.turned output") == ["1.1"]
    page.click("#undo")
    assert page.click("#undo") == before
