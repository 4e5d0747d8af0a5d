"""The pages in a real browser, opened from the disk as a person opens them: Chromium without a window."""

import json
import os
import shutil

import pytest
from helpers import TINY, leave_run, make_data
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

NAMES = ["Alpha_1_3_2", "Beta <b>_1_3_2", "Gamma 画像_1_2_2"]


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Three runs: one as training leaves it, one with another content weight, one with fewer epochs."""
    folder = tmp_path_factory.mktemp("pages")
    data = make_data(folder / "data")
    places = f"--src_data {data}/src_data --tgt_data {data}/tgt_data --results_dir {folder}/runs --workers 0"
    more = "--name Alpha --pre_train_epoch 1 --train_epoch 3 --con_lambda 10"
    CartoonGAN.main([*places.split(), *TINY.split(), *more.split()])
    copy_run(folder / "runs", NAMES[1], con_lambda=2.5)
    copy_run(folder / "runs", NAMES[2], train_epoch=2)
    writing.write(folder / "runs")
    return folder / "runs"


def copy_run(results, name, train_epoch=3, **options):
    """Copy the first run to one of another name, settings and number of epochs."""
    folder = shutil.copytree(results / f"{NAMES[0]}_results", results / f"{name}_results")
    record = read_settings(folder)
    record["options"] |= {"train_epoch": train_epoch, **options}
    write_settings(folder, record)
    history.cut(folder / "metrics.csv", 2, train_epoch + 1)
    for picture in list(folder.glob("*/*.png")):
        picture.rename(picture.with_name(picture.name.replace(NAMES[0], name)))
    for picture in folder.glob(f"Transfer/{train_epoch + 1}_*"):
        picture.unlink()


@pytest.fixture(scope="session")
def browser():
    settings = webdriver.ChromeOptions()
    settings.binary_location = CHROMIUM
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        settings.add_argument(switch)
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(settings, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    """page(path, width=, scheme=, fragment=) opens a page. It complains of nothing, asks for files alone."""
    browser.execute_cdp_cmd("Network.enable", {})

    def open_page(path, width=1400, scheme="light", fragment=""):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        browser.get("about:blank")
        browser.get(f"{path.as_uri()}#{fragment}")
        return browser

    yield open_page
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"
    ]
    assert urls and all(url.startswith(("file:", "data:", "about:")) for url in urls), urls


def columns(results):
    """How many columns of a run's metrics.csv have a curve: all but phase and epoch."""
    header = (results / f"{NAMES[0]}_results/metrics.csv").read_text().splitlines()[0]
    return len(header.split(",")) - 2


def one(page, selector):
    return page.find_element("css selector", selector)


def every(page, selector):
    return page.find_elements("css selector", selector)


def soon(page, condition):
    """Wait until condition() is true; what it returns."""
    return WebDriverWait(page, 20).until(lambda _: condition())


def visible(page):
    """The names of the runs in the table, those that are filtered away left out."""
    return [one(row, ".run b").text for row in every(page, "#runs tbody tr") if row.is_displayed()]


def shown(page):
    """The file name of the picture in the viewer; empty until it is there."""
    return page.execute_script(
        "const image = document.querySelector('#stage img');"
        "return image?.complete && image.naturalWidth ? decodeURIComponent(image.src).split('/').pop() : ''"
    )


def test_the_slider_and_the_keys_change_the_epoch(results, page):
    page = page(results / f"{NAMES[0]}_results" / "index.html")
    name = lambda epoch: f"{epoch}_epoch_Alpha_1_3_2_test_1.png"
    soon(page, lambda: shown(page) == name(3))
    assert one(page, "#at").text == "epoch 3"
    body = one(page, "body")
    for key, place, file in (
        (Keys.ARROW_LEFT, "epoch 2", name(2)),
        (Keys.ARROW_RIGHT, "epoch 3", name(3)),
        (Keys.ARROW_RIGHT, "epoch 3", name(3)),
        (Keys.ARROW_LEFT * 3, "phase one", "Alpha_1_3_2_test_recon_1.png"),
    ):
        body.send_keys(key)
        assert one(page, "#at").text == place
        soon(page, lambda file=file: shown(page) == file)
    one(page, "#epoch").send_keys(Keys.HOME, Keys.ARROW_RIGHT)  # the slider by its own keys
    soon(page, lambda: shown(page) == name(1))
    soon(page, lambda: page.current_url.endswith("#epoch=1&photo=test+1"))
    assert "test 1 at epoch 1" in one(page, "#stage img").get_attribute("alt")
    page.refresh()
    soon(page, lambda: shown(page) == name(1))
    body = one(page, "body")
    body.send_keys(" ")
    soon(page, lambda: one(page, "#at").text == "epoch 2")
    body.send_keys(" ")
    assert one(page, "#play").get_attribute("aria-label") == "Play"


def test_photos_and_the_strip_choose_the_picture(results, page):
    page = page(results / f"{NAMES[1]}_results" / "index.html")
    assert NAMES[1] in one(page, "h1").text
    photos = every(page, "#photos button")
    assert [photo.text for photo in photos] == [f"test {n}" for n in (1, 2, 3)] + [
        f"train {n}" for n in range(1, 6)
    ]
    photos[4].click()
    soon(page, lambda: shown(page) == f"3_epoch_{NAMES[1]}_train_2.png")
    strip = every(page, "#strip button")
    assert [each.text for each in strip] == ["phase one", "epoch 1", "epoch 2", "epoch 3"]
    strip[1].click()
    soon(page, lambda: shown(page) == f"1_epoch_{NAMES[1]}_train_2.png")
    current = [each.get_attribute("aria-current") for each in every(page, "#strip button")]
    assert current == ["false", "true", "false", "false"]


def test_the_divider_uncovers_photo_or_result(results, page):
    page = page(results / f"{NAMES[0]}_results" / "index.html")
    soon(page, lambda: shown(page))
    photo, divider = one(page, "#stage .photo"), one(page, "#stage .divider")
    cut = lambda: float(
        photo.value_of_css_property("clip-path").split()[1].split("%")[0].removeprefix("calc(")
    )
    width = divider.size["width"]
    for part in (-0.25, 0.25):
        middle = ActionChains(page).move_to_element(divider).click_and_hold()
        middle.move_by_offset(int(part * width), 0).release().perform()
        assert cut() == pytest.approx(100 * (0.5 - part), abs=3)
    one(page, "body").send_keys(Keys.ARROW_LEFT)  # the keys are the slider's again
    assert one(page, "#at").text == "epoch 2"


def test_curves_settings_command_and_log(results, page):
    page = page(results / f"{NAMES[0]}_results" / "index.html")
    assert not every(page, "script[src*=plotly]")
    page.execute_script("document.querySelector('#curves').scrollIntoView()")
    soon(page, lambda: len(every(page, "#curves .main-svg .scatterlayer .trace")) == columns(results))
    titles = [each.text for each in every(page, "#curves figcaption")]
    assert titles[:3] == ["content", "discriminator", "adversarial"]
    lines = [each.text for each in every(page, "#curves figure p")]
    assert len(lines) == columns(results) and all(lines) and "conv4_4" in lines[0]
    # A curve that stays the same has its value on the axis.
    page.execute_script("draw($('#curves .plot'), 'rate', [{name: '', curves: {rate: [2e-4, 2e-4]}}])")
    soon(page, lambda: "2e−4" in [each.text for each in every(page, "#curves figure:first-child .ytick")])
    given = [each.text for each in every(page, ".settings .given dt")]
    assert "con_lambda" in given and "lrG" not in given
    text = one(page, "main").text
    assert "--con_lambda 10" in text and f"--resume {results / NAMES[0]}_results" in text
    assert "started" in one(page, ".log").text
    assert every(page, ".problems") == [] and one(page, ".state").text == "finished"


def test_what_changed_on_the_way_is_marked_on_the_curves(results, page, tmp_path):
    folder = shutil.copytree(results / f"{NAMES[0]}_results", tmp_path / "Changed <i>_results")
    record = read_settings(folder)
    where = {"phase": 2, "epoch": 2, "step": 1}
    record["changes"] = [{"option": "lrG", "from": 2e-4, "to": 1e-5, **where}, "damaged", {"option": "lrD"}]
    write_settings(folder, record)
    writing.write(tmp_path)
    page = page(folder / "index.html")
    told = "phase 2, epoch 2, after step 1: lrG 1e-05, was 0.0002"
    assert [each.text for each in every(page, "#curves .changes li")] == [told]
    page.execute_script("document.querySelector('#curves').scrollIntoView()")
    soon(page, lambda: len(every(page, "#curves .plot .annotation")) == len(every(page, "#curves .plot")) > 0)
    shapes = page.execute_script("return document.querySelector('#curves .plot').layout.shapes")
    (line,) = [shape for shape in shapes if shape["type"] == "line"]
    assert line["x0"] == line["x1"] == 1.5  # after epoch 1 of phase two


def test_a_curve_joins_what_is_not_measured_every_epoch_and_counts_epochs_as_the_samples(tmp_path, page):
    folder = leave_run(tmp_path, "P", epochs=1)
    for epoch in range(2, 101):
        measured = {"ssim": epoch / 100} if epoch % 10 == 0 else {}
        history.add(folder / "metrics.csv", {"phase": 2, "epoch": epoch, **measured})
    writing.update(folder)
    page = page(folder / "index.html")
    page.execute_script("document.querySelector('#curves').scrollIntoView()")
    soon(page, lambda: every(page, "#curves figure:nth-child(2) .main-svg"))
    data, axis = page.execute_script(
        "const plot = document.querySelector('#curves figure:nth-child(2) .plot');"
        "return [plot.data[0], plot.layout.xaxis]"
    )
    assert (data["x"], data["y"][-1]) == ([*range(10, 101, 10)], 1)
    assert axis["range"] == [-0.5, 100.5] and axis["ticktext"] == ["20", "40", "60", "80", "100"]


def test_sort_and_filter(results, page):
    page = page(results / "index.html")
    soon(page, lambda: visible(page) == NAMES)  # all began at the same time
    assert one(page, "th[data-key='started']").get_attribute("aria-sort") == "descending"
    title = lambda key: one(page, f"#runs th[data-key='{key}'] button")
    title("name").click()
    title("name").click()
    assert visible(page) == NAMES[::-1]
    title("con_lambda").click()
    assert visible(page)[0] == NAMES[1]
    assert one(page, "th[data-key='con_lambda']").get_attribute("aria-sort") == "ascending"
    title("epoch").click()
    assert visible(page)[0] == NAMES[2]
    search = one(page, "#filter")
    search.send_keys("FINISHED 画像")
    assert visible(page) == [NAMES[2]]
    search.clear()
    search.send_keys("<b>")
    assert visible(page) == [NAMES[1]]
    search.send_keys(" nothing")
    assert visible(page) == []


def test_compare(results, page):
    page = page(results / "index.html")
    button, boxes = one(page, "#compare"), every(page, ".pick input")
    boxes[0].click()
    assert not button.is_enabled()
    boxes[1].click()
    boxes[2].click()
    button.click()
    frames = lambda: [
        image.get_attribute("src").split("/")[-1] for image in every(page, "#pictures .result img")
    ]
    soon(page, lambda: len(frames()) == 3)
    assert all(
        name.startswith("2_epoch_") and name.endswith("test_1.png") for name in frames()
    )  # the last of all
    one(page, "#place input").send_keys(Keys.ARROW_LEFT)
    one(page, "#place select").send_keys("train 3")
    assert all(name.startswith("1_epoch_") and name.endswith("train_3.png") for name in frames())
    soon(
        page,
        lambda: page.execute_script(
            "return [...document.querySelectorAll('#pictures img')].every(image => image.naturalWidth > 0)"
        ),
    )
    rows = {each.text.split(" ", 1)[0]: each.text for each in every(page, "#settings .differs th")}
    assert set(rows) == {"con_lambda", "train_epoch"}
    soon(page, lambda: len(every(page, "#plots .plot .trace.scatter")) == 3 * columns(results))
    one(page, "#all").click()
    assert len(every(page, "#settings .equal")) > 20
    one(page, "body").send_keys(Keys.ESCAPE)
    soon(page, lambda: not one(page, "#comparison").is_displayed())


def test_an_address_opens_a_comparison(results, tmp_path, page):
    """Of a CartoonGAN run with one of another method, the options that one lacks do not differ."""
    shutil.copytree(results / f"{NAMES[0]}_results", tmp_path / "One_results")
    folder = shutil.copytree(results / f"{NAMES[0]}_results", tmp_path / "画像_results")
    record = read_settings(folder)
    del record["options"]["con_lambda"]
    record["options"] |= {"cycle_lambda": 10, "batch_size": 1}
    write_settings(folder, record | {"method": "survey.other"})
    writing.write(tmp_path)
    page = page(tmp_path / "index.html", fragment="compare=One_results&compare=%E7%94%BB%E5%83%8F_results")
    soon(page, lambda: one(page, "#comparison").is_displayed())
    differing = [each.text for each in every(page, "#settings .differs th")]
    assert differing == ["method", "batch_size"]


def test_light_and_dark(results, page):
    colour = lambda browser: one(browser, "body").value_of_css_property("background-color")
    opened = page(results / "index.html", scheme="light")
    light = colour(opened)
    opened = page(results / "index.html", scheme="dark")
    dark = colour(opened)
    assert light != dark
    one(opened, "#theme").click()
    assert colour(opened) == light
    opened.refresh()
    assert colour(opened) == light  # it is remembered
    one(opened, "#theme").click()
    assert colour(opened) == dark
    opened.execute_script("localStorage.clear()")


OUTSIDE = """
const table = document.querySelector('#runs');
return [...table.querySelectorAll('tr:first-child td')].filter((cell) => {
  const [inner, outer] = [cell.getBoundingClientRect(), table.parentElement.getBoundingClientRect()];
  const cut = inner.right > outer.right + 1 || cell.scrollWidth > cell.clientWidth;
  return getComputedStyle(cell).display !== 'none' && cut;
}).map((cell) => cell.dataset.title)"""


@pytest.mark.parametrize("width", [1400, 1000, 390])
@pytest.mark.parametrize("runs", [1, 20])
def test_the_overview_cuts_off_no_column(results, tmp_path, page, width, runs):
    """Of twenty runs at 1000 px a part must be scrolled to, which a shadow tells."""
    usual = {"con_lambda": (10, 2.5), "lrG": (2e-4, 1e-5)} if runs > 1 else {}
    for number in range(runs):
        options = {key: values[number % 2] for key, values in usual.items()}
        folder = leave_run(tmp_path, f"Run{number}_20_200_16_0.0005_res8", epochs=2, **options)
        shutil.copy(results / f"{NAMES[0]}_results/metrics.csv", folder)
    writing.write(tmp_path)
    page = page(tmp_path / "index.html", width=width)
    assert len(visible(page)) == runs
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    if (runs, width) == (20, 1000):
        assert one(page, ".scroll").value_of_css_property("background-image").count("gradient") == 2
        page.execute_script("document.querySelector('.scroll').scrollLeft = 1e6")
    assert page.execute_script(OUTSIDE) == []
    if width == 390 and runs > 1:  # a phone has no more than some facts of each run
        assert page.execute_script("return document.documentElement.scrollHeight") < 300 + 250 * runs


def test_a_run_opens_on_a_test_photograph_that_is_not_small(tmp_path, page):
    folder = leave_run(tmp_path, "First", photos=("test_1", "test_2", "test_3", "train_1"))
    for number, size in ((1, (16, 8)), (2, (80, 30)), (3, (80, 40))):
        for path in folder.glob(f"*/*test*_{number}.png"):
            Image.new("RGB", size).save(path)
    for path in folder.glob("*/*train*.png"):
        Image.new("RGB", (200, 100)).save(path)
    writing.update(folder)
    page = page(folder / "index.html")
    soon(page, lambda: shown(page) == "3_epoch_First_test_2.png")
    pressed = [each.text for each in every(page, "#photos [aria-pressed=true]")]
    assert pressed == ["test 2"]


@pytest.mark.parametrize("file", ["index.html", f"{NAMES[1]}_results/index.html"])
def test_a_phone_shows_all_without_scrolling_sideways(results, page, file):
    page = page(results / file, width=390)
    assert page.execute_script("return document.documentElement.scrollWidth") == 390
    if file == "index.html":
        for box in every(page, ".pick input"):
            box.click()
        assert one(page, "#compare").text == "Compare 3 runs"


def test_pictures_of_any_name_and_lost_ones(tmp_path, page):
    folder = leave_run(tmp_path, "Old")
    for name in ("settings.json", "metrics.csv", "log.txt"):
        (folder / name).unlink()
    picture = folder / "Transfer" / "2_epoch_Old_test_1.png"
    others = ["100% #1?.png", "a'\"b.png", "画像.png", "画像 2.png"]
    for name in others:
        shutil.copy(picture, folder / "Transfer" / name)
    (folder / "Transfer" / "3_epoch_Old_test_1.png").write_bytes(b"damaged")
    writing.update(folder)
    page = page(folder / "index.html")
    soon(
        page,
        lambda: one(page, "#stage .frame").get_attribute("data-broken").endswith("3_epoch_Old_test_1.png"),
    )
    one(page, "body").send_keys(Keys.ARROW_LEFT)
    soon(page, lambda: shown(page) == picture.name)
    assert sorted(each.text for each in every(page, "#others a")) == sorted(others)
    page.execute_script("document.querySelector('#others').scrollIntoView()")
    soon(
        page,
        lambda: page.execute_script(
            "return [...document.querySelectorAll('#others img')].every(image => image.naturalWidth === 8)"
        ),
    )
    assert "settings.json is missing" in one(page, ".problems").text


def test_the_overview_of_one_run_offers_nothing_to_compare(tmp_path, page):
    folder = leave_run(tmp_path, "Alone", lrG=1e-5)
    writing.update(folder)
    page = page(tmp_path / "index.html")
    assert visible(page) == ["Alone"]
    assert not one(page, ".tools").is_displayed() and not one(page, ".pick").is_displayed()
    one(page, "summary").click()
    assert "lrG\n1e-05" in one(page, "details").text


def test_a_measure_stands_beside_its_error_and_those_of_photographs_and_drawings(tmp_path, page):
    folder = leave_run(tmp_path, "P")
    (folder / "metrics.csv").unlink()
    for epoch, drawn in enumerate((0.1, 0.3), 1):
        row = {"phase": 2, "epoch": epoch, "drawn": drawn, "drawn_std": 0.05, "flat": 0.4}
        history.add(
            folder / "metrics.csv", row | {"flat_photo": 0.3, "flat_drawings": 0.5, "kid_drawings": 1}
        )
    writing.write(tmp_path)
    page = page(folder / "index.html")
    assert "highest style: 0.300 ± 0.050 after epoch 2" in one(page, ".facts").text
    page.execute_script("document.querySelector('#curves').scrollIntoView()")
    soon(page, lambda: len(every(page, "#curves .main-svg .scatterlayer .trace")) == 1 + 3 + 1)
    assert [each.text for each in every(page, "#curves figcaption")] == ["drawn", "flat", "kid drawings"]
    assert every(page, "#curves figure:first-child .errorbars path")
