"""Pages of the site in a real browser: phone and desktop, light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = [
    pytest.mark.slow,  # needs the site: make docs-check
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
PAGES = {  # number of formulas at least
    "measures.html": 30,
    "api/population.html": 0,
    "notebooks/metrics_tour.html": 3,
}
VIEWS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


@pytest.fixture(params=VIEWS, ids="-".join)
def view(request, browser):
    """A page of one size and colour scheme; what it reports to the console is in `problems`."""
    size, scheme = request.param
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.problems, page.requested = [], []
    page.on("console", lambda m: m.type in ("error", "warning") and page.problems.append(m.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("requestfailed", lambda r: page.problems.append(f"failed: {r.url}"))
    page.on("request", lambda r: page.requested.append(r.url))
    yield page
    context.close()


def visit(view, address, path):
    view.goto(f"{address}/{path}", wait_until="networkidle")
    assert view.problems == []
    assert all(url.startswith((address, "data:")) for url in view.requested)


def assert_drawn(view, number):
    """Formulas have a size, and none is left as text."""
    boxes = view.eval_on_selector_all(
        "math", "all => all.map(m => m.getBoundingClientRect()).map(b => [b.width, b.height])"
    )
    assert len(boxes) >= number
    assert all(width > 2 and height > 5 for width, height in boxes)
    text = view.inner_text("article")
    assert not any(mark in text for mark in ("\\frac", "\\log", "\\sum", "$$"))


def assert_fits(view):
    """Nothing scrolls sideways, except within its own frame."""
    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    found, available = view.evaluate(widths)
    assert found <= available


def assert_accessible(view):
    """axe finds nothing; the page has a language, a title and one heading of the first level."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = Axe().run(view, options=options).response["violations"]
    seen = {each["id"]: [node["html"][:120] for node in each["nodes"][:3]] for each in found}
    assert seen == {}
    assert view.get_attribute("html", "lang") == "en"
    assert "infojax" in view.title()
    assert view.locator("h1").count() == 1


@pytest.mark.parametrize("path", PAGES)
def test_page(path, view, address):
    visit(view, address, path)
    assert_drawn(view, PAGES[path])
    assert_fits(view)
    assert_accessible(view)
    assert view.problems == []


@pytest.mark.parametrize("path", PAGES)
def test_colours_follow_the_scheme(path, view, address):
    visit(view, address, path)
    dark = view.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = view.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in colour.strip("rgb()").split(",")[:3]]
    assert max(levels) < 70 if dark else min(levels) > 200


def test_search_finds_fields_and_words(view, address):
    for word, page in (("joint_entropy", "api/infojax.html"), ("batch size", "numbers.html")):
        visit(view, address, f"search.html?q={word}")
        view.wait_for_selector("#search-results li a")
        links = view.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
        assert any(page in link for link in links), links


def test_a_result_is_one_click_away(view, address):
    """From the function to the class that it returns, with every field."""
    visit(view, address, "api/population.html")
    signature = view.locator("dt[id='infojax.population.interplay']")
    signature.get_by_role("link", name="PopulationInterplay").click()
    assert view.url.endswith("#infojax.population.PopulationInterplay")
    for name in ("mir", "standard_error", "route"):
        field = view.locator(f"[id='infojax.population.PopulationInterplay.{name}']")
        assert field.is_visible()
