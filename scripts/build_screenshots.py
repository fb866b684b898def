"""Write docs/images/report-*.png and leaderboard-*.png: pages of results/ in a real browser.

python scripts/build_screenshots.py [RESULTS]

The report is made of results/reference-cpu, or RESULTS; the leaderboard is results/leaderboard.

Needs Debian's chromium and playwright.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from sftbench.results import Results

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images"
MAX_BYTES = 200_000
# Name, width, height, theme, what is scrolled to, whether the first failure's evidence is open.
SHOTS = (
    ("light", 1280, 1000, "light", "#results", True),
    ("dark", 1280, 1000, "dark", "#plots", False),
    ("phone", 375, 780, "light", "#results", False),
)
LEADERBOARD = ROOT / "results" / "leaderboard" / "index.html"
# Name, width, height, theme.
LEADERBOARD_SHOTS = (("light", 1280, 1000, "light"), ("phone", 375, 780, "dark"))


def main() -> int:
    """Make every picture; return the exit code."""
    store = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "reference-cpu"
    path = shutil.which("chromium")
    if path is None:
        print("no chromium here: apt-get install chromium", file=sys.stderr)
        return 2
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder) / "report.html"
        page.write_text(Results(store).to_html(), encoding="utf-8")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, width, height, theme, place, is_open in SHOTS:
            data = _shot(browser, page.as_uri(), (width, height), theme, place, is_open=is_open)
            _write(f"report-{name}", data)
        for name, width, height, theme in LEADERBOARD_SHOTS:
            size, address = (width, height), LEADERBOARD.as_uri()
            _write(
                f"leaderboard-{name}", _shot(browser, address, size, theme, "#main", is_open=False)
            )
        browser.close()
    return 0


def _write(name: str, data: bytes) -> None:
    target = TARGET / f"{name}.png"
    target.write_bytes(_small(data))
    print(f"wrote {target} ({target.stat().st_size} bytes)")


def _shot(
    browser: Browser, address: str, size: tuple[int, int], theme: str, place: str, *, is_open: bool
) -> bytes:
    width, height = size
    dark = theme == "dark"
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    page.goto(f"{address}{place}")
    if is_open:
        page.locator("#rows summary.failure").first.click()
    page.locator(place).scroll_into_view_if_needed()
    data = page.screenshot()
    page.close()
    return data


def _small(data: bytes) -> bytes:
    """Return the picture with as many colours as its size allows."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for colours in (256, 128, 64, 32):
        out = io.BytesIO()
        picture.quantize(colours).save(out, "PNG", optimize=True)
        if out.tell() <= MAX_BYTES:
            return out.getvalue()
    raise SystemExit(f"a picture is larger than {MAX_BYTES} bytes")


if __name__ == "__main__":
    sys.exit(main())
