"""The pages in a real browser, headless Chromium, opened from the disk as users open them."""

import json
import os
import shutil
from urllib.parse import quote, unquote

import pytest
from helpers import make_data, make_run, tiny_run
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.ui import WebDriverWait

import CartoonGAN
from pages import writing
from training import history
from training.config import read_settings, write_settings

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and "REQUIRE_BROWSER" not in os.environ,
    reason="chromium or chromedriver is not installed",
)

NAMES = ["One", "Two <b>", "Three 画像"]


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run as training leaves it."""
    folder = tmp_path_factory.mktemp("run")
    CartoonGAN.main(tiny_run(make_data(folder / "data"), folder, "--sample_every", 1, "--con_lambda", 10))
    return folder / "Tiny_2_3_2_results"


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Three runs: the second has another content weight, the third fewer epochs."""
    folder = tmp_path_factory.mktemp("results")
    for name, epochs, weight in zip(NAMES, (3, 3, 2), (10, 2.5, 10), strict=True):
        run = make_run(folder, name, epochs, ("test_1", "train_3"), con_lambda=weight)
        (run / "log.txt").unlink()  # so that all have the same start time
    writing.write(folder)
    return folder


class Page(webdriver.Chrome):
    """A browser with a page."""

    def open(self, path, width=1400, fragment=""):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.get("about:blank")
        self.get(f"{path.as_uri()}#{fragment}")

    def one(self, selector):
        return self.find_element("css selector", selector)

    def all(self, selector):
        return self.find_elements("css selector", selector)

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def press(self, key):
        ActionChains(self).send_keys(key).perform()

    def run(self, script):
        return self.execute_script(script)

    def wait(self, condition):
        """Wait until condition() is true; returns its value."""
        return WebDriverWait(self, 20).until(lambda _: condition())

    def runs(self):
        """The names of the runs in the table that are not filtered out."""
        return [name for name in self.texts("#runs .run b") if name]

    def image(self):
        """The file name of the large image; empty until it is loaded."""
        if not self.all("#stage img") or not self.all_loaded("#stage .result img"):
            return ""
        return unquote(self.one("#stage img").get_attribute("src")).split("/")[-1]

    def all_loaded(self, selector):
        return self.run(f"return $$('{selector}').every(image => image.complete && image.naturalWidth)")


@pytest.fixture(scope="session")
def browser():
    settings = webdriver.ChromeOptions()
    settings.binary_location = CHROMIUM
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        settings.add_argument(switch)
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Page(settings, webdriver.ChromeService(DRIVER)) as page:
        page.execute_cdp_cmd("Network.enable", {})
        yield page


@pytest.fixture
def page(browser):
    """A Page, which at the end has logged no errors and requested nothing but files."""
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    urls = [each["request"]["url"] for each in requests]
    assert urls and all(url.startswith(("file:", "data:", "about:")) for url in urls), urls


# The page of a run


def test_the_slider_and_the_keys_change_the_epoch(run, page):
    page.open(run / "index.html")
    name = lambda epoch: f"{epoch}_epoch_Tiny_2_3_2_test_1.png"
    page.wait(lambda: page.image() == name(3))
    page.press(Keys.ARROW_LEFT * 2 + Keys.ARROW_RIGHT)
    assert page.one("#at").text == "epoch 2"
    page.press(Keys.ARROW_LEFT * 3)
    assert page.one("#at").text == "phase one"
    page.wait(lambda: page.image() == "Tiny_2_3_2_test_recon_1.png")
    page.one("#epoch").send_keys(Keys.HOME, Keys.ARROW_RIGHT)  # the slider's own keys
    page.wait(lambda: page.image() == name(1))
    page.wait(lambda: page.current_url.endswith("#epoch=1&photo=test+1"))
    assert "test 1 at epoch 1" in page.one("#stage img").get_attribute("alt")
    page.refresh()
    page.wait(lambda: page.image() == name(1))
    page.press(" ")
    page.wait(lambda: page.one("#at").text == "epoch 2")
    page.press(" ")
    assert page.one("#play").get_attribute("aria-label") == "Play"


def test_photos_strip_and_divider_choose_what_is_shown(run, page):
    page.open(run / "index.html")
    names = [*(f"test {number}" for number in (1, 2, 3)), *(f"train {number}" for number in range(1, 6))]
    assert page.texts("#photos button") == names
    page.all("#photos button")[4].click()
    page.wait(lambda: page.image() == "3_epoch_Tiny_2_3_2_train_2.png")
    assert page.one("#strip-of").text == "train 2"
    assert page.texts("#strip button") == ["phase one", "epoch 1", "epoch 2", "epoch 3"]
    page.all("#strip button")[1].click()
    page.wait(lambda: page.image() == "1_epoch_Tiny_2_3_2_train_2.png")
    assert page.texts("#strip [aria-current=true]") == ["epoch 1"]
    photo, divider = page.one("#stage .photo"), page.one("#stage .divider")
    for part in (-0.25, 0.25):
        drag = ActionChains(page).move_to_element(divider).click_and_hold()
        drag.move_by_offset(int(part * divider.size["width"]), 0).release().perform()
        right = photo.value_of_css_property("clip-path").split()[1]  # the part of the photo that is cut off
        assert float(right.split("%")[0].removeprefix("calc(")) == pytest.approx(100 * (0.5 - part), abs=3)
    page.press(Keys.ARROW_RIGHT)  # the keys still change the epoch
    assert page.one("#at").text == "epoch 2"


def test_curves_with_gaps_errors_references_and_changes(tmp_path, page):
    folder = make_run(tmp_path, "P <i>", epochs=1)
    for epoch in range(2, 101):
        row = {"phase": 2, "epoch": epoch, "content": 1, "learning_rate": 2e-4}
        if epoch % 10 == 0:
            row |= {"drawn": epoch / 100, "drawn_std": 0.05, "drawn_photo": 0.3, "drawn_drawings": 0.5}
        history.add(folder / "metrics.csv", row)
    record = read_settings(folder)
    change = {"option": "lrG", "from": 2e-4, "to": 1e-5, "phase": 2, "epoch": 2, "step": 1}
    record["changes"] = [change, "damaged", {"option": "lrD"}]
    write_settings(folder, record)
    writing.update(folder)
    page.open(folder / "index.html")
    assert page.texts(".changes li") == ["phase 2, epoch 2, after step 1: lrG 1e-05, was 0.0002"]
    assert "highest style: 1.000 ± 0.050 after epoch 100" in page.one(".facts").text
    page.run("document.querySelector('#curves').scrollIntoView()")
    page.wait(lambda: page.all(".plot") and not page.all(".plot:not(.js-plotly-plot)"))
    plots = page.run("return $$('.plot').map(plot => [plot.data, plot.layout])")
    (content, layout), (drawn, _), *_, (_, rate) = plots
    assert rate["yaxis"]["range"] == pytest.approx([1e-4, 3e-4])  # a constant curve has its value on the axis
    assert page.texts("#curves figcaption")[:2] == ["content", "drawn"]
    assert content[0]["x"] == [*range(101)]  # the epoch of phase one is 0
    assert layout["xaxis"]["range"] == [-0.5, 100.5]
    assert layout["xaxis"]["ticktext"] == ["20", "40", "60", "80", "100"]
    ends = [(shape["type"], shape["x0"], shape["x1"]) for shape in layout["shapes"]]
    assert ends == [("rect", -0.5, 0.5), ("line", 1.5, 1.5)]  # phase one; after epoch 1 of phase two
    assert layout["annotations"][0]["hovertext"].startswith("phase 2, epoch 2, after step 1:")
    assert (drawn[0]["x"], drawn[0]["y"][-1]) == ([*range(10, 101, 10)], 1)
    assert drawn[0]["error_y"]["array"] == [0.05] * 10
    assert [curve["y"][0] for curve in drawn[1:]] == [0.3, 0.5]


def test_images_of_any_name_and_damaged_ones(tmp_path, page):
    folder = make_run(tmp_path, "Old")
    for name in ("settings.json", "metrics.csv", "log.txt"):
        (folder / name).unlink()
    image = folder / "Transfer/2_epoch_Old_test_1.png"
    others = ["100% #1?.png", "a'\"b.png", "画像.png", "画像 2.png"]
    for name in others:
        shutil.copy(image, folder / "Transfer" / name)
    (folder / "Transfer/3_epoch_Old_test_1.png").write_bytes(b"damaged")
    writing.update(folder)
    page.open(folder / "index.html")
    message = lambda: page.one("#stage .frame").get_attribute("data-broken")
    page.wait(lambda: message().endswith("3_epoch_Old_test_1.png"))
    page.press(Keys.ARROW_LEFT)
    page.wait(lambda: page.image() == image.name)
    assert sorted(page.texts("#others a")) == sorted(others)
    page.run("document.querySelector('#others').scrollIntoView()")
    page.wait(lambda: page.all_loaded("#others img"))
    assert "settings.json is missing" in page.one(".problems").text


# The overview


def test_sort_and_filter(results, page):
    page.open(results / "index.html")
    one, two, three = NAMES
    page.wait(lambda: page.runs() == [one, three, two])
    title = lambda key: page.one(f"#runs th[data-key='{key}'] button")
    title("name").click()
    title("name").click()
    assert page.runs() == [two, three, one]
    title("con_lambda").click()
    assert page.runs()[0] == two
    title("epoch").click()
    assert page.runs()[0] == three
    search = page.one("#filter")
    for text, found in (("FINISHED 画像", [three]), ("<b>", [two]), ("<b> nothing", [])):
        search.clear()
        search.send_keys(text)
        assert page.runs() == found


def test_compare_the_ticked_runs_or_those_in_the_address(results, page):
    page.open(results / "index.html")
    button, boxes = page.one("#compare"), page.all(".pick input")
    boxes[0].click()
    assert not button.is_enabled()
    boxes[1].click()
    boxes[2].click()
    assert button.text == "Compare 3 runs"
    button.click()
    files = lambda: [image.get_attribute("src").split("/")[-1] for image in page.all("#pictures .result img")]
    page.wait(lambda: len(files()) == 3)
    assert all(name.startswith("2_epoch_") and name.endswith("test_1.png") for name in files())  # all have it
    page.one("#place input").send_keys(Keys.ARROW_LEFT)
    page.one("#place select").send_keys("train 3")
    assert all(name.startswith("1_epoch_") and name.endswith("train_3.png") for name in files())
    page.wait(lambda: page.all_loaded("#pictures img"))
    assert page.texts("#settings .differs th") == ["train_epoch", "con_lambda"]
    page.wait(lambda: len(page.all("#plots figure:first-child .trace.scatter")) == 3)
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.one("#comparison").is_displayed())
    address = "&".join(f"compare={quote(name)}_results" for name in NAMES[:2])
    page.open(results / "index.html", fragment=address)
    page.wait(lambda: page.one("#comparison").is_displayed())
    assert page.texts("#settings .differs th") == ["con_lambda"]


@pytest.mark.parametrize("width", [1000, 390])
def test_the_overview_cuts_off_no_column(run, tmp_path, page, width):
    for number in range(20):
        options = {"con_lambda": (10, 2.5)[number % 2], "lrG": (2e-4, 1e-5)[number % 2]}
        folder = make_run(tmp_path, f"Run{number}_20_200_16_0.0005_res8", epochs=2, **options)
        shutil.copy(run / "metrics.csv", folder)
    writing.write(tmp_path)
    page.open(tmp_path / "index.html", width=width)
    assert len(page.runs()) == 20
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.run("return $$('#runs td').filter(cell => cell.scrollWidth > cell.clientWidth).length") == 0


def test_curves_settings_command_and_log(run, page):
    page.open(run / "index.html")
    page.run("document.querySelector('#curves').scrollIntoView()")
    page.wait(lambda: page.all("#curves figure p"))
    assert page.texts("#curves figcaption")[:3] == ["content", "discriminator", "adversarial"]
    assert all(page.texts("#curves figure p"))
    given = page.texts(".settings .given dt")
    assert "con_lambda" in given and "lrG" not in given
    assert "--con_lambda 10" in page.one("main").text and "started" in page.one(".log").text
    assert page.all(".problems") == [] and page.one(".state").text == "finished"


def test_a_run_opens_on_a_test_photograph_that_is_not_small(tmp_path, page):
    sizes = {"test_1": (16, 8), "test_2": (80, 30), "test_3": (80, 40), "train_1": (200, 100)}
    folder = make_run(tmp_path, "First", photos=sizes)
    for name, size in sizes.items():
        Image.new("RGB", size).save(folder / f"Transfer/3_epoch_First_{name}.png")
    writing.update(folder)
    page.open(folder / "index.html")
    page.wait(lambda: page.image() == "3_epoch_First_test_2.png")
    assert page.texts("#photos [aria-pressed=true]") == ["test 2"]
