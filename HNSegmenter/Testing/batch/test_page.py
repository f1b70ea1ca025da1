"""index.html: it loads nothing from elsewhere, shows a hundred patients, and is sorted by click and by key."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import SimpleITK as sitk

pytest.importorskip("huey")
from HNSegmenterLib.batch.find import folder_name
from HNSegmenterLib.batch.lists import Entry
from HNSegmenterLib.batch.out_folder import PAGE, write_lists
from HNSegmenterLib.batch.page import About, page
from HNSegmenterLib.batch.results import THUMBNAIL
from HNSegmenterLib.overview import draw_thumbnail
from HNSegmenterLib.result import NOT_FOUND, Organ, Result
from Testing.batch.browser import ENTER, SPACE, browser
from Testing.phantoms import head_phantom

HUNDRED = 100
NASTY = "<script>document.title='owned'</script>"


def entry(number: int) -> Entry:
    """Every tenth failed, every third with something to look at."""
    uid = f"1.2.3.{number}"
    about = (folder_name(uid), uid, f"1.2.4.{number}", f"clinic{number % 3}/case {number}", 120)
    if number % 10 == 9:
        return Entry(*about, "failed", f"1 slice is missing {NASTY}.")
    odd = ["Left eye touches the highest slice: the scan may be cut there."] if number % 3 == 0 else []
    names = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R")
    organs = [
        Organ(name, label, (200, 80, 40), volume_ml=20.0 + (number * 37 + label) % 100 / 10, checks=odd * (label == 5))
        for label, name in enumerate(names, 1)
    ]
    if number % 7 == 0:
        organs[0].status, organs[0].volume_ml = NOT_FOUND, 0.0
    hu = {name: {"mean": 30.4, "sd": 12.1} for name in names}
    model = {"name": "hn-densevnet", "version": "0.5.0", "digest": "sha256:" + "ab" * 32}
    return Entry(*about, "done", "", Result(model, organs, input={"batch": {"hu": hu}}), "1.2.5")


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A page of a hundred, with a thumbnail each."""
    folder = tmp_path_factory.mktemp("out")
    entries = [entry(number) for number in range(HUNDRED)]
    entries += [Entry("", "1.2.6", "", f"scouts {NASTY}", 2, "left out", "The series has only 2 CT images.")]
    ct = sitk.GetImageFromArray(head_phantom())
    ct.SetSpacing((4.0, 4.0, 4.0))
    draw_thumbnail(ct, {}, [], folder / THUMBNAIL)
    for one in entries[:HUNDRED]:
        if one.result:
            (folder / one.folder).mkdir()
            (folder / one.folder / THUMBNAIL).write_bytes((folder / THUMBNAIL).read_bytes())
    write_lists(folder, page(entries, About(Path("/data/patients"), "1 Jan 2026, 12:00", 12000, 3)), "")
    return folder


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]


def test_it_refers_to_nothing_but_files_beside_it(out):
    text = (out / PAGE).read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.tags["script"] == reader.tags["style"] == 1 and reader.tags["link"] == reader.tags["iframe"] == 0
    for address in set(reader.addresses):
        folder, _, file = address.partition("/")
        assert folder in {folder_name(f"1.2.3.{number}") for number in range(HUNDRED)}, address
        assert file in ("", THUMBNAIL, "overview.png")
    assert not any(word in text for word in ("http:", "https:", "@import", "url(", "//cdn"))


def column(window, number: int) -> list[str]:
    """Values of a column as they stand, of rows that are seen."""
    return window.run(
        f"return [...document.querySelectorAll('#series tbody tr')].filter(r => !r.hidden)"
        f".map(r => r.cells[{number}].dataset.v ?? '')"
    )


def test_a_real_browser_shows_and_sorts_it(out):
    with browser() as window:
        window.open(out / PAGE)
        assert window.run("return document.title") == "HN Segmenter: batch"
        assert window.run("return document.scripts.length") == 1
        assert window.run("return document.querySelectorAll('#series tbody tr').length") == HUNDRED
        window.run("for (const image of document.images) image.loading = 'eager'")
        widths = window.run(
            "return Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth, e => String(e))))"
        )
        assert set(widths) == {300}
        loaded = window.run("return performance.getEntriesByType('resource').map(r => r.name)")
        assert all(address.startswith("file:///") for address in loaded)
        assert window.run("return document.body.scrollWidth <= window.innerWidth"), "it is wider than the window"

        def heading(number: int) -> str:
            return f"#series th:nth-child({number + 1}) > button"

        window.click(heading(3))  # to look at: the most first
        looked = list(map(int, column(window, 3)))
        assert looked == sorted(looked, reverse=True) and looked[0] == 1
        window.type(heading(4), ENTER)  # Brainstem, by key
        volumes = column(window, 4)
        known = [float(volume) for volume in volumes if volume]
        assert (
            known == sorted(known) and len(known) < HUNDRED and volumes[len(known) :] == [""] * (HUNDRED - len(known))
        )
        window.type(heading(4), SPACE)
        assert [float(volume) for volume in column(window, 4) if volume] == sorted(known, reverse=True)
        assert window.run("return [...document.querySelectorAll('[aria-sort=descending]')].map(h => h.cellIndex)") == [
            4
        ]
        window.click(heading(1))
        assert column(window, 1)[:2] == ["clinic0/case 0", "clinic0/case 3"]
        assert column(window, 1)[-1] == "clinic2/case 98"
        window.type("#find", "failed clinic1")
        found = column(window, 1)
        assert found and all(place.startswith("clinic1") for place in found)
        assert window.run("return document.querySelector('#shown').textContent") == f"{len(found)} shown"
        assert window.complaints() == []


def test_nothing_else_may_be_loaded_or_run(out, tmp_path):
    """The page's own policy, obeyed by a real browser: an image from elsewhere, a script and a style slipped in."""
    text = (out / PAGE).read_text()
    slipped = (
        '<img src="http://127.0.0.1:9/beacon.png"><script>document.title = "owned"</script>'
        '<p style="position: fixed">x</p></body>'
    )
    (tmp_path / PAGE).write_text(text.replace("</body>", slipped))
    with browser() as window:
        window.open(tmp_path / PAGE)
        assert window.run("return document.title") == "HN Segmenter: batch"
        said = "\n".join(window.complaints())
        assert said.count("Content Security Policy") >= 3 and "ERR_CONNECTION" not in said
