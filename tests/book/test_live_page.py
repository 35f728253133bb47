"""The live page in a real browser: recorded and with the network, from a server and from disk, by mouse and by keyboard."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Browser, find_chromium
from http_server import served
from live_page import DOCUMENT, ROOT, faces_page, labels_of, mask_of, start, state, wait_until_done
from PIL import Image

from stylemixseg import StyleMixSegmenter
from stylemixseg.clustering import kmeans
from stylemixseg.experiments.profile import load_profile
from stylemixseg.foreground import CornerMinority, Saliency, apply_rule
from stylemixseg.generators.base import seeded_latent
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion
from stylemixseg.summary import summary_from_images

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild import live
from bookbuild.bundle import bundle
from bookbuild.layout import BuildError

PROGRAM = find_chromium()
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed: the live page is not tried"),
]
WITHOUT_WEBASSEMBLY = "delete window.WebAssembly"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A folder with the page of the toy world, which has no network."""
    folder = tmp_path_factory.mktemp("recorded")
    profile = load_profile("smoke")
    (folder / "live").mkdir()
    live.write_page_parts(load_generator(profile.generator), profile, folder / "live", live.why_recorded(profile))
    (folder / "page.html").write_text(DOCUMENT)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(PROGRAM) as browser:
        yield browser


@pytest.fixture(scope="module")
def site(recorded) -> Iterator[str]:
    with served(recorded) as address:
        yield address


@pytest.fixture
def page(browser, site):
    """The page of the recording, its mask there."""
    page = browser.new_page()
    page.open(f"{site}/page.html")
    start(page)
    yield page
    assert page.errors == []
    assert [r for r in page.requests if not r.startswith(("data:", "blob:", site))] == []


def _pictures(folder: Path, face: int, name: str) -> np.ndarray:
    """Recorded pictures as Python reads them, (n, side, side, 3) uint8."""
    text = (folder / "live" / f"recorded-{face}.js").read_text()
    found = json.loads(text[text.index(", ") + 2 : text.rindex(")")])
    files = [io.BytesIO(base64.b64decode(picture)) for picture in found[name]]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


class TestRecorded:
    pytestmark = needs_browser

    @pytest.mark.parametrize("n", [10, 3])
    def test_the_mask_is_that_of_python(self, page, recorded, n):
        """Of the same pictures: another decoder of WebP may round a level, nothing else differs."""
        _move(page, "styles n", n)
        labels = kmeans(summary_from_images(_pictures(recorded, 0, "c6")[:n]), 3).labels
        assert (labels_of(page) == labels).mean() > 0.99
        foreground = apply_rule(labels, 3, Saliency())
        assert confusion(mask_of(page), foreground[labels]).miou > 0.98

    def test_each_step_begins_where_its_setting_changes(self, page, recorded):
        before = labels_of(page)
        _move(page, "cutoff c", 0)  # the first of the recorded cutoffs
        assert state(page, "c") == 2 and state(page, "made") == 10
        labels = kmeans(summary_from_images(_pictures(recorded, 0, "c2")), 3).labels
        assert (labels_of(page) == labels).mean() > 0.99 and (labels_of(page) != before).any()
        _move(page, "clusters k", 5)
        assert labels_of(page).max() == 4
        _pick(page, 2)
        labels = kmeans(summary_from_images(_pictures(recorded, 2, "c2")), 5).labels
        assert (labels_of(page) == labels).mean() > 0.97
        assert page.evaluate(f"{ROOT}.querySelector('.live-face[aria-pressed=true]').ariaLabel") == "face 2"

    def test_rules_and_thresholds(self, page):
        labels = labels_of(page)
        _move(page, "threshold theta", 0.41)
        assert (mask_of(page) == apply_rule(labels, 3, Saliency(0.41))[labels]).all()
        _choose(page, "rule", "corner")
        assert (mask_of(page) == apply_rule(labels, 3, CornerMinority())[labels]).all()
        rows = page.evaluate(f"[...{ROOT}.querySelectorAll('.live-table tbody tr')].map((row) => row.innerText)")
        scores = CornerMinority().scores(labels, 3)
        assert len(rows) == 3 and all(f"{score:.2f}" in row for score, row in zip(scores, rows))
        _move(page, "threshold theta", 0)  # at least one pixel: what reaches a corner is background
        assert "foreground" in page.evaluate(f"{ROOT}.querySelector('.live-table').innerText")

    def test_painting_by_keyboard_gives_an_iou(self, page):
        canvas = f"{ROOT}.querySelector('canvas[tabindex]')"
        score = f"{ROOT}.querySelector('.live-score').textContent"
        assert "Paint" in page.evaluate(score)
        page.evaluate(f"{canvas}.focus()")
        for key in (" ", "ArrowRight", "ArrowDown"):
            page.evaluate(
                f"{canvas}.dispatchEvent(new KeyboardEvent('keydown', {{key: {key!r}, shiftKey: true, bubbles: true}}))"
            )
        assert page.evaluate(score).startswith("IoU foreground 0.")
        _press(page, "Start from the method's mask")
        assert page.evaluate(score) == "IoU foreground 1.00, background 1.00, mean 1.00"
        _press(page, "Clear")
        assert "Paint" in page.evaluate(score)

    def test_the_reference_is_that_of_the_profile(self, page):
        """The toy world knows its masks; the IoU with them follows the sliders."""
        _press(page, "Take the mask of the toy world itself")
        score = f"{ROOT}.querySelector('.live-score').textContent"
        assert page.wait_for(f"{score}.startsWith('IoU')", 5)
        generator = load_generator("toy-portrait")
        truth = generator.truth(seeded_latent(generator, 0, 0.7))[0].foreground
        for theta in (0.25, 0.41):
            _move(page, "threshold theta", theta)
            got = confusion(mask_of(page), truth)
            assert f"mean {got.miou:.2f}" in page.evaluate(score)

    def test_painting_by_mouse(self, page):
        _choose(page, "rule", "corner")
        canvas = f"{ROOT}.querySelector('canvas[tabindex]')"
        page.evaluate(f"{canvas}.scrollIntoView({{block: 'center'}})")
        box = page.evaluate(f"(({{left, top, width}}) => [left, top, width])({canvas}.getBoundingClientRect())")
        for kind, share in (("mousePressed", 0.3), ("mouseMoved", 0.7), ("mouseReleased", 0.7)):
            place = {"x": box[0] + share * box[2], "y": box[1] + 0.7 * box[2]}
            page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)
        assert page.wait_for(f"{ROOT}.querySelector('.live-score').textContent.startsWith('IoU')", 5)

    def test_everything_has_a_name(self, page):
        """For those who hear the page: the browser's own tree of names, and no picture without words."""
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        nameless = [
            node["role"]["value"]
            for node in nodes
            if node.get("role", {}).get("value") in ("button", "slider", "combobox", "checkbox", "image", "application")
            and not node.get("ignored")
            and not node.get("name", {}).get("value")
        ]
        assert nameless == []
        assert "cluster map of 3 clusters, from 10 mixes" in page.evaluate(
            f"[...{ROOT}.querySelectorAll('canvas')].map((one) => one.ariaLabel).join('; ')"
        )

    def test_after_the_start_the_tab_key_goes_on_to_the_panels(self, page):
        """The button of the start has gone, so its focus would be lost, and the next stop would be the page's first."""
        assert page.evaluate("document.activeElement.className") == "live-status"
        page.press("Tab")
        assert page.evaluate("document.activeElement.closest('.live-panels') !== null")

    def test_a_part_for_a_chapter(self, browser, recorded, site):
        """Some panels only, the reference taken from the start, and for another face its own."""
        attributes = 'data-style-mix-live data-recorded data-compare data-panels="faces mask paint"'
        (recorded / "part.html").write_text(DOCUMENT.replace("data-style-mix-live", attributes))
        page = browser.new_page()
        page.open(f"{site}/part.html")
        start(page)
        visible = (
            f"[...{ROOT}.querySelectorAll('h3')].filter((one) => one.checkVisibility()).map((one) => one.textContent)"
        )
        assert page.evaluate(visible) == ["Choose a face", "3. Choose the foreground", "4. Paint the true mask"]
        score = f"{ROOT}.querySelector('.live-score').textContent"
        assert page.wait_for(f"{score}.startsWith('IoU')", 5)
        before = page.evaluate(score)
        _pick(page, 2)
        assert page.wait_for(f"{score}.startsWith('IoU') && {score} !== {before!r}", 5)
        assert page.errors == []

    def test_from_disk(self, browser, recorded):
        page = browser.new_page()
        page.open((recorded / "page.html").as_uri())
        assert "toy-portrait" in page.evaluate(f"{ROOT}.textContent")  # why there is no network
        start(page)
        assert mask_of(page).any() and page.errors == []
        assert all(request.startswith(("file:", "data:", "blob:")) for request in page.requests)

    def test_nothing_is_loaded_before_the_click(self, browser, site):
        page = browser.new_page()
        page.open(f"{site}/page.html")
        names = {request.rsplit("/", 1)[1] for request in page.requests if request.startswith(site)}
        assert names == {"page.html", "live.css", "live.js"}


def _control(label: str) -> str:
    """The slider or list beside a label that is to be seen."""
    return (
        f"[...{ROOT}.querySelectorAll('.live-control')].find((one) => one.checkVisibility()"
        f" && one.querySelector('label').textContent === {label!r}).querySelector('input, select')"
    )


def _move(page, label: str, value: float) -> None:
    """Move a slider, and wait for what follows."""
    control = _control(label)
    page.evaluate(f"((one) => {{ one.value = {value}; one.dispatchEvent(new Event('input')); }})({control})")
    page.browser.pump(0.3)  # a slider has to rest before anything is made anew
    end = page.wait_for(f"{ROOT}.dataset.state === 'done'", 30)
    assert end
    wait_until_done(page)


def _pick(page, face: int) -> None:
    """Press the button of a face, and wait for its mask."""
    page.evaluate(f"{ROOT}.querySelectorAll('.live-face')[{face}].click()")
    page.browser.pump(0.3)
    wait_until_done(page, 600)


def _choose(page, label: str, value: str) -> None:
    page.evaluate(f"((one) => {{ one.value = {value!r}; one.dispatchEvent(new Event('change')); }})({_control(label)})")
    wait_until_done(page)


def _press(page, words: str) -> None:
    page.evaluate(
        f"[...{ROOT}.querySelectorAll('button')].find((one) => one.textContent === {json.dumps(words)}).click()"
    )


@pytest.fixture(scope="module")
def with_network(tmp_path_factory, real_faces) -> Path:
    """A folder with the page of the real faces: the network, and a recording of one face at one cutoff."""
    if not live.RUNTIME.is_dir():
        pytest.skip("the runtime of the live page is not there: `make book` gets it through npm")
    folder = tmp_path_factory.mktemp("network")
    faces_page(folder)
    return folder


@pytest.mark.slow
class TestNetwork:
    pytestmark = needs_browser

    def test_from_a_server_the_masks_are_those_of_python(self, browser, with_network):
        """At 256 px, n = 10: against the generator's 1024 px averaged, in the package's own segmenter."""
        segmenter = StyleMixSegmenter(load_generator("faces"), n=10, resolution=256)
        with served(with_network) as site:
            page = browser.new_page()
            page.open(f"{site}/page.html")
            start(page, seconds=600)
            for face in (0, 1):
                _pick(page, face)
                found = segmenter(seeded_latent(segmenter.generator, face, 0.7))
                small = found.mask.reshape(256, 4, 256, 4)[:, 0, :, 0]
                got = confusion(mask_of(page), small)
                assert min(got.fg_iou, got.bg_iou) > 0.95
            _press(page, "Draw another face")
            wait_until_done(page, 600)
            assert state(page, "face.name") == "drawn face 1" and mask_of(page).any()
            assert page.errors == []
            assert [r for r in page.requests if not r.startswith(("data:", "blob:", site))] == []

    def test_from_disk(self, browser, with_network):
        page = browser.new_page()
        page.open((with_network / "page.html").as_uri())
        start(page, seconds=600)
        assert mask_of(page).any() and page.errors == []

    def test_the_download_is_small_and_carries_its_terms(self, with_network):
        folder = with_network / "live"
        loaded = [*folder.glob("*.gz"), folder / "live.js", folder / "live.css", folder / "faces.jpg"]
        assert sum(path.stat().st_size for path in loaded) < 12e6
        assert "non-commercial" in (folder / "LICENCE.txt").read_text()
        assert b"Nvidia Source Code License-NC" in gzip.decompress((folder / "network.gz").read_bytes())

    def test_without_webassembly_the_recording_takes_its_place(self, browser, with_network):
        with served(with_network) as site:
            page = browser.new_page()
            page.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT_WEBASSEMBLY)
            page.open(f"{site}/page.html")
            assert "WebAssembly" in page.evaluate(f"{ROOT}.textContent")
            start(page)
            assert mask_of(page).any() and page.errors == []
            assert not any(request.endswith(".gz") for request in page.requests)

    def test_a_network_that_does_not_arrive_leaves_the_recording(self, browser, with_network, tmp_path):
        """As on a site whose host lost a file."""
        (tmp_path / "live").mkdir()
        for path in with_network.rglob("*"):
            if path.is_file() and path.name != "network.gz":
                (tmp_path / path.relative_to(with_network)).symlink_to(path)
        with served(tmp_path) as site:
            page = browser.new_page()
            page.open(f"{site}/page.html")
            page.evaluate(f"{ROOT}.querySelector('.live-start').click()")
            assert page.wait_for(f"{ROOT}.dataset.state === 'failed'")
            assert "network.gz could not be loaded" in page.evaluate(f"{ROOT}.textContent")
            start(page)
            assert mask_of(page).any()


@pytest.mark.parametrize(
    "said, ci, included",
    [
        ("", "", True),
        ("", "true", False),
        ("include", "true", True),
        ("leave-out", "", False),
        ("leave-out", "1", False),
    ],
)
def test_when_the_weights_are_in_the_page(said, ci, included, monkeypatch):
    monkeypatch.setenv(live.SWITCH, said)
    monkeypatch.setenv("CI", ci)
    assert live.weights_included() is included
    why = live.why_recorded(load_profile("cpu"))
    if not included:
        assert "not for commercial use" in why


def test_an_unknown_word_is_no_permission(monkeypatch):
    monkeypatch.setenv(live.SWITCH, "yes")
    with pytest.raises(BuildError, match=r"must be include or leave-out, got 'yes'"):
        live.weights_included()


def test_the_workflow_that_publishes_leaves_the_weights_out():
    """Unless the repository's owner sets the variable."""
    workflow = (live.BOOK.parent / ".github" / "workflows" / "book.yml").read_text()
    assert f"{live.SWITCH}: ${{{{ vars.{live.SWITCH} || 'leave-out' }}}}" in workflow


@pytest.mark.parametrize(
    "files, words",
    [
        ({"a": 'import { b } from "./b.js";\n'}, "a imports from b.js, which is not there"),
        ({"a": 'import { b } from "./b.js";\n', "b": 'import { a } from "./a.js";\n'}, "import from each other"),
        ({"a": "export default 3;\n"}, "cannot join `export default 3;`"),
        ({"a": 'import * as b from "./b.js";\n'}, "cannot join"),
    ],
)
def test_modules_that_cannot_be_joined(files, words, tmp_path):
    for name, text in files.items():
        (tmp_path / f"{name}.js").write_text(text)
    with pytest.raises(BuildError, match=words):
        bundle(tmp_path / "a.js")


def test_a_joined_script_keeps_names_apart(tmp_path):
    (tmp_path / "b.js").write_text("const size = 2;\nexport function b() {\n  return size;\n}\nexport const c = 5;\n")
    (tmp_path / "a.js").write_text('import { b, c } from "./b.js";\nconst size = 3;\nself.value = size * b() * c;\n')
    script = bundle(tmp_path / "a.js")
    assert "import" not in script and "export" not in script
    assert script.index("module_b") < script.index("module_a")
    if PROGRAM is None:
        pytest.skip("chromium is not installed: the script is not run")
    with Browser(PROGRAM) as browser:
        page = browser.new_page()
        assert page.evaluate(f"{script}\nself.value") == 30
