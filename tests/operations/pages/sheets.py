"""Pictures of the walk side by side: python -m tests.operations.pages.sheets FOLDER [PART OF A NAME]

The sheets are in FOLDER/sheets, 8 or 16 pages on each.
"""

import base64
import html
import itertools
import sys
from pathlib import Path

from tests.support import browser_walk

COLUMNS, HEIGHT = {"390": 8, "1280": 4}, {"390": 620, "1280": 520}
A_SHEET = {"390": 16, "1280": 8}
WIDTH = 1900


def main(folder: Path, part: str = "") -> None:
    (folder / "sheets").mkdir(exist_ok=True)
    pictures = sorted(path for path in folder.glob("*.png") if part in path.name)
    with browser_walk.chromium("--allow-file-access-from-files", "--hide-scrollbars") as driver:
        for kind, group in itertools.groupby(pictures, lambda path: tuple(path.name.split("-")[:4])):
            width, all_of_it = kind[1], list(group)
            for number, start in enumerate(range(0, len(all_of_it), A_SHEET[width])):
                page = folder / "sheets" / "page.html"
                page.write_text(_page(all_of_it[start : start + A_SHEET[width]], width), encoding="utf-8")
                driver.execute_cdp_cmd(
                    "Emulation.setDeviceMetricsOverride",
                    {"width": WIDTH, "height": 1400, "deviceScaleFactor": 1, "mobile": False},
                )
                driver.get(page.as_uri())
                shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
                name = f"{'-'.join(kind)}-{number:02}.png"
                (folder / "sheets" / name).write_bytes(base64.b64decode(shot["data"]))
                print(name)
        page.unlink()


def _page(pictures: list[Path], width: str) -> str:
    columns, height = COLUMNS[width], HEIGHT[width]
    figures = "".join(
        f'<figure><div><img src="{path.as_uri()}"></div>'
        f"<figcaption>{html.escape(path.stem.split('-', 4)[4])}</figcaption></figure>"
        for path in pictures
    )
    return (
        f"<!doctype html><meta charset=utf-8><style>body{{margin:8px;display:grid;gap:8px;background:#999;"
        f"grid-template-columns:repeat({columns},1fr);font:13px sans-serif}}figure{{margin:0;overflow:hidden}}"
        f"div{{height:{height}px;overflow:hidden;background:#777}}img{{width:100%;display:block}}</style>{figures}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:3])
