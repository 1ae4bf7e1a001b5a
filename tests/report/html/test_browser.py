"""The pages in a real browser: at two widths, in light and dark, looked at by its own eyes."""

import json
import re
import shutil
import struct
import subprocess

import pytest

from embcompress.report.comparing import lineup
from embcompress.report.html.comparison import comparison_to_html
from embcompress.report.html.page import to_html
from tests.report.html.making import full, measured

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), "")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
LOOK = """<script>
const wide = [...document.querySelectorAll('body *')].filter(e =>
  !e.closest('.scroll, .charts.wide') && e.getBoundingClientRect().right > innerWidth + 1);
const small = [...document.querySelectorAll('svg text')].map(e =>
  e.getBoundingClientRect().height).filter(h => h > 0);
document.documentElement.dataset.seen = JSON.stringify({
  width: innerWidth, page: document.documentElement.scrollWidth,
  wide: wide.map(e => e.tagName + '.' + e.className),
  hidden: [...document.querySelectorAll('.scroll')].filter(e =>
    e.scrollWidth > e.clientWidth + 1).length,
  marks: [...document.querySelectorAll('.compared ins')].map(e =>
    e.closest('.scroll').getBoundingClientRect().right - e.getBoundingClientRect().right),
  lowest: Math.min(...small),
  paper: getComputedStyle(document.body).backgroundColor,
  pictures: [...document.querySelectorAll('svg')].filter(e =>
    e.getBoundingClientRect().height > 60).length,
});
</script>"""

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def pages():
    reports = [
        full(measured(rows=3000, bits=bits), artifact=f"q{bits}.safetensors") for bits in (2, 4, 8)
    ]
    tables = [measured(f"embedding_bags.feature_{i}.weight", rows=400, seed=i) for i in range(4)]
    return {
        "one": to_html(reports[1]),
        "several": to_html(full(*tables)),
        "compared": comparison_to_html(lineup(reports)),
    }


def browse(folder, *words):
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", *words]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()


@pytest.mark.parametrize("width", [1280, 520])
@pytest.mark.parametrize("name", ["one", "several", "compared"])
def test_layout(name, width, pages, tmp_path):
    """Nothing reaches over the edge, words can be read, pictures are there."""
    path = tmp_path / "page.html"
    path.write_text(pages[name].replace("</body>", f"{LOOK}</body>"))
    dom = browse(tmp_path, f"--window-size={width},900", "--dump-dom", path.as_uri())
    seen = re.search(r'data-seen="(.*?)"', dom)[1].replace("&quot;", '"')
    seen = json.loads(seen)
    assert seen["page"] <= seen["width"], seen
    assert seen["wide"] == []
    assert seen["lowest"] >= 9
    assert width < 1000 or not seen["hidden"]
    assert all(left >= 0 for left in seen["marks"])  # the Pareto front is in sight
    assert name != "compared" or len(seen["marks"]) > 1
    assert seen["pictures"] >= {"one": 4, "several": 1, "compared": 2}[name]
    assert seen["paper"] == "rgb(252, 251, 249)"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (520, "light")])
def test_screenshot(width, scheme, pages, tmp_path):
    """A picture of the page is one of its size, and no blank one."""
    path, picture = tmp_path / "page.html", tmp_path / "page.png"
    path.write_text(pages["one"])
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    browse(tmp_path, *dark, f"--window-size={width},2400", f"--screenshot={picture}", path.as_uri())
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (width, 2400)
    assert len(data) > 60_000
