"""Reports in a real browser: they draw, sort, zoom and print, and load nothing from elsewhere."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from launch import reports
from tests.launch.reports.conftest import STEPS

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens the report of some runs; fails at the end if it loaded or reported anything."""
    contexts, requested, problems = [], [], []

    def visit(*workdirs, scheme="light", width=1280):
        path = tmp_path / "report.html"
        reports.draw(list(workdirs), path)
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.goto(path.as_uri())
        page.wait_for_selector(".js-plotly-plot .main-svg")
        return page

    yield visit
    assert problems == []
    assert set(requested) == {(tmp_path / "report.html").as_uri()}
    for context in contexts:
        context.close()


def _plotted(page, property_):
    """A property of every trace of the first chart."""
    script = f"document.querySelector('.js-plotly-plot').data.map(trace => trace.{property_})"
    return page.evaluate(script)


def _width(page):
    return page.evaluate("document.documentElement.scrollWidth")


def _ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_in_both_schemes(make_run, make_study, open_page, scheme):
    page = open_page(make_run("one", seeds=2), make_study(), scheme=scheme)
    assert (_ground(page) == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.locator(".chart").count() == 4
    assert page.locator("img").count() == 0
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    found = Axe().run(page, options={"runOnly": tags}).response["violations"]
    seen = {each["id"]: [node["html"][:200] for node in each["nodes"][:3]] for each in found}
    assert seen == {}
    assert page.locator("h1").count() == 1


def test_curves(make_run, open_page):
    """Step 0 has its place on the logarithmic axis too; hovering tells step and value."""
    page = open_page(make_run("one"))
    box = page.locator("#log")
    assert box.is_checked()
    on_log = _plotted(page, "x")[0]
    assert on_log[:2] == [0, 1] and on_log == sorted(on_log) and on_log[-1] < 10
    box.uncheck()
    assert _plotted(page, "x")[0] == list(STEPS)
    assert [name for name in _plotted(page, "name") if name] == ["test", "batch of the step"]
    area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + area["width"] - 2, area["y"] + area["height"] / 3)
    page.wait_for_selector(".hovertext")
    assert "step 10,000: 0.8833" in page.locator(".hovertext").first.text_content()


def test_zoom(make_run, open_page):
    page = open_page(make_run("one"))
    scale = "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range"
    whole = page.evaluate(scale)
    area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.3, area["y"] + 50)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + 55, steps=5)
    page.mouse.up()
    low, high = page.evaluate(scale)
    assert whole[0] < low < high < whole[1]


def test_study(make_study, open_page):
    """Columns sort by a click, up and down; the chart draws any two columns, by a third."""
    page = open_page(make_study())
    table = page.locator("table.points")
    column = "all => all.map(row => row.cells[3].textContent)"
    accuracy = table.get_by_role("button", name="accuracy, test")
    accuracy.click()
    assert table.locator("tbody tr").evaluate_all(column) == ["0.1", "0.15", "0.6", "0.8"]
    accuracy.click()
    assert table.locator("tbody tr").evaluate_all(column) == ["0.8", "0.6", "0.15", "0.1"]
    assert table.locator("th[aria-sort=descending]").count() == 1
    assert len(_plotted(page, "x")) == 4  # points and means of two methods
    page.locator(".explorer select").nth(2).select_option("")
    points, means = _plotted(page, "y")
    assert sorted(points) == [0.1, 0.15, 0.6, 0.8] and means == [0.7, 0.125]


def test_phone(make_run, make_study, open_page):
    """Nothing but tables scrolls sideways, each in its own box."""
    page = open_page(make_run("one", seeds=2), make_study(), width=390)
    assert _width(page) == 390


def test_print(make_run, open_page):
    """Dark screens print on white, charts two in a row, without controls."""
    page = open_page(make_run("one"), scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert _ground(page) == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible() and not page.locator("#log").is_visible()
    charts = "all => all.map(chart => chart.getBoundingClientRect().toJSON())"
    first, second, *_ = page.locator(".chart").evaluate_all(charts)
    assert first["top"] == second["top"] and second["right"] < 720
    plots = "all => all.map(plot => plot.querySelector('.main-svg').getBoundingClientRect().width)"
    assert set(page.locator(".js-plotly-plot").evaluate_all(plots)) == {340}
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".js-plotly-plot").first.bounding_box()["width"] > 400
