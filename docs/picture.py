"""Makes docs/images/report.png, the top of a run's report:  python docs/picture.py RUN_FOLDER"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parent / "images" / "report.png"
WIDTH, HEIGHT, DENSITY = 1100, 1290, 1.5  # down to the end of the first two figures


def main(folder: Path) -> None:
    """Takes the picture in the light theme; a palette of 128 colours keeps it small."""
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        size = {"width": WIDTH, "height": HEIGHT}
        page = browser.new_page(viewport=size, color_scheme="light", device_scale_factor=DENSITY)
        page.goto((folder / "report.html").resolve().as_uri())
        page.wait_for_selector(".plot svg")
        page.wait_for_timeout(1000)
        taken = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    taken.convert("RGB").quantize(128).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
