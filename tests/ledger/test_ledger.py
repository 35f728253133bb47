"""The ledger's page: separate columns, claims judged over images, how every number stands, links to what makes it."""

from __future__ import annotations

import inspect
import json
import re

import pytest
import yaml

from stylemixseg.evaluation.imagescores import folder_scores
from stylemixseg.evaluation.numbercheck import FOLDER, Row, update_expectations
from stylemixseg.evaluation.provenance import REPOSITORY, ROOT, code_address
from stylemixseg.evaluation.resultfiles import ResultError
from stylemixseg.evaluation.results import Measurement, RunRecorder, measurements
from stylemixseg.evaluation.spotcheck import SpotCheck, write_spot_check
from stylemixseg.experiments.registry import experiments, listed
from stylemixseg.inversion.kinds import INVERSIONS
from stylemixseg.ledger import page as ledger
from stylemixseg.ledger.claims import Verdict
from stylemixseg.ledger.glance import Judged, compared, conclusion
from stylemixseg.ledger.page import markdown, paper_values
from stylemixseg.ledger.tables import TABLES
from stylemixseg.metrics import Confusion

MAIN = "table1.ffhq.saliency.miou"
ON_PHOTOS = "table1.celeba.encoder.saliency.miou"
NOT_MADE = "not measured |  |  |"


def run(folder, profile, values, experiment="table1"):
    recorder = RunRecorder(experiment, profile, folder / profile / f"{experiment}.json")
    for name, (value, n, interval) in values.items():
        recorder.add(name, value, n=n, interval=interval, note="rule: saliency | sigma 0.3")
    recorder.write()


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    run(folder, "full", {MAIN: (0.8123456, 100, (0.79, 0.83)), "table1.seconds": (12.0, None, None)})
    run(folder, "cpu", {MAIN: (0.7654321, 12, (0.70, 0.82))})
    return folder


def test_paper_values_are_consistent_with_themselves():
    """The printed mIOU is the mean of unrounded IoUs, so it lies within both roundings of the printed pair's mean."""
    values = paper_values()
    prefixes = {name.rsplit(".", 1)[0] for name in values if not name.startswith("table4")}
    assert len(prefixes) == 23
    for prefix in prefixes:
        fg, bg, miou = (values[f"{prefix}.{iou}"] for iou in ("fg_iou", "bg_iou", "miou"))
        assert abs((fg + bg) / 2 - miou) <= 0.005 + 0.005 + 1e-9, prefix
    assert sum(name.startswith("table4") for name in values) == 30
    assert all(0 < value < 1 and round(value, 2) == value for value in values.values())


def test_paper_values_name_their_cells():
    entries = json.loads((FOLDER / "paper.json").read_text())
    cells = [entry["cell"] for entry in entries.values()]
    assert len(set(cells)) == len(cells) == 99
    assert entries["table1.ffhq.ours.miou"] == {"value": 0.80, "cell": "Table 1, FFHQ, Ours, mIOU"}
    assert entries["table4.lab.c6.k4.miou"] == {"value": 0.79, "cell": "Table 4, LAB, c=6, k=4"}
    assert all(re.match(rf"Table {name[5]},", entry["cell"]) for name, entry in entries.items())


def test_means_of_table_4_agree_with_the_notes():
    values = paper_values()
    mean = {
        space: sum(value for name, value in values.items() if name.startswith(f"table4.{space}.")) / 15
        for space in ("rgb", "lab")
    }
    assert mean["lab"] - mean["rgb"] == pytest.approx(0.17 / 15)


def test_every_paper_name_of_the_ledger_is_printed_in_the_paper():
    values = paper_values()
    lines = [line for table in TABLES.values() for line in table]
    assert all(line.paper is None or line.paper in values for line in lines)
    assert len({line.measured for line in lines if line.measured}) == sum(line.measured is not None for line in lines)
    assert not any(line.measured and line.measured.startswith("toy") for line in lines)


def test_the_page_keeps_papers_and_our_numbers_in_separate_columns(results, tmp_path):
    page = markdown(results, tmp_path)
    ours = "measured here, full run | measured here, quick cpu run | how it stands | made by |"
    assert f"| setting | paper reported (StyleGAN2 on FFHQ) | {ours}" in page
    assert f"| setting | paper reported (StyleGAN2 on LSUN-Horse and DeepRooms) | {ours}" in page
    assert (
        "| saliency rule, face parser, dataset-level, mIoU | 0.80 | 0.812 [0.790, 0.830], n = 100 "
        "| 0.765 [0.700, 0.820], n = 12 |" in page
    )
    assert f"| LAB, c = 6, k = 4 | 0.79 | not measured | {NOT_MADE}" in page
    assert "The generator is a different one." in page
    assert "rule: saliency | sigma 0.3" in page and page.count("Notes of the runs") == 1


def test_only_the_papers_own_rule_stands_beside_its_number_on_photos():
    lines = TABLES["Table 1, CelebAMask-HQ column"]
    beside = {line.measured for line in lines if line.paper and line.measured}
    assert beside == {
        f"table1.celeba.{inversion}.saliency{average}.{iou}"
        for inversion in INVERSIONS
        for average in ("", ".per_image")
        for iou in ("fg_iou", "bg_iou", "miou")
    }
    assert {line.paper for line in lines if line.measured is None} == {
        f"table1.celeba.{method}.{iou}"
        for method in ("datasetgan", "l4f", "sis")
        for iou in ("fg_iou", "bg_iou", "miou")
    }


def test_the_papers_numbers_stand_beside_no_rule_that_is_not_the_papers():
    for title, lines in TABLES.items():
        for line in lines:
            if line.measured and line.paper:
                assert "corner" not in line.measured and "judge" not in line.measured, title


def test_numbers_on_photos_stand_in_their_table(results, tmp_path):
    sharp = "table1.celeba.encoder.judge_sharp.miou"
    values = {
        ON_PHOTOS: (0.85, 8, (0.8, 0.9)),
        sharp: (0.91, 8, (0.88, 0.94)),
        "table1.celeba.face_parser.miou": (0.93, 8, (0.92, 0.94)),
    }
    run(results, "cpu", values, experiment="table1_photos")
    page = markdown(results, tmp_path)
    assert "| encoder: saliency rule, dataset-level, mIoU | 0.86 | not measured | 0.850 [0.800, 0.900], n = 8 |" in page
    assert (
        "| encoder: judge of many images, sharpened (ours), dataset-level, mIoU | not reported | not measured "
        "| 0.910 [0.880, 0.940], n = 8 |" in page
    )
    assert (
        "| face parser on the photo (supervised), dataset-level, mIoU | not reported | not measured "
        "| 0.930 [0.920, 0.940], n = 8 |" in page
    )


def test_toy_results_never_enter_the_page(results, tmp_path):
    run(results, "cpu", {"toy.table1.ffhq.saliency.miou": (0.98765, 6, None)}, experiment="01_tour")
    run(results, "smoke", {"toy.table4.lab.c8.k4.miou": (0.98765, 6, None)}, experiment="01_tour")
    page = markdown(results, tmp_path)
    assert "0.988" not in page and "toy." not in page


def test_the_corner_grid_shows_where_it_was_measured_and_without_the_papers_numbers(results, tmp_path):
    assert "corner minority rule (not in the paper)" not in markdown(results, tmp_path)
    run(results, "full", {"table4_corner.lab.c8.k4.miou": (0.7, 40, None)}, experiment="table4")
    page = markdown(results, tmp_path)
    assert "corner minority rule (not in the paper)" in page
    assert "| LAB, c = 8, k = 4 | not reported | 0.700, n = 40 | not measured |" in page


def test_the_page_of_nothing_says_so(tmp_path):
    page = markdown(tmp_path, tmp_path)
    assert "Nothing has been run here." in page and "The profile `cpu` has not been run here." in page
    assert page.count(f"| not measured | {NOT_MADE}") >= 60
    assert "No image of the full run was computed again." in page


def test_checks_stand_on_the_page(results, tmp_path):
    update_expectations("cpu", results, tmp_path / "cpu.json")
    page = markdown(results, tmp_path)
    assert "1 of 1 means are within their tolerance, and 0 of 0 scores of single images." in page
    assert re.search(
        rf"\| `{MAIN}` \| 0.765 \| 0.00\d \| 0.765 \[0.700, 0.820\] \| 12 \| yes \| \[`stylemixseg reproduce table1`\]",
        page,
    )


def test_an_expectation_without_its_result_stops_the_page(results, tmp_path):
    (tmp_path / "cpu.json").write_text(json.dumps({"means": {"table4.lab.c8.k4.miou": [0.75, 0.02]}, "images": {}}))
    with pytest.raises(ResultError, match="table4.lab.c8.k4.miou"):
        markdown(results, tmp_path)


def test_all_rows_of_a_table_have_as_many_cells_as_its_header(results, tmp_path):
    for block in markdown(results, tmp_path).split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_what_is_folded_is_closed_again(results, tmp_path):
    lines = [line for line in markdown(results, tmp_path).splitlines() if line in ("<details>", "</details>")]
    assert lines == ["<details>", "</details>"] * (len(lines) // 2) and len(lines) > 8


def test_a_written_page_has_its_plot_beside_it(results, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "expectations_path", lambda profile: tmp_path / f"{profile}.json")
    path = ledger.write_ledger(results, tmp_path / "page" / "ledger.md")
    assert "```{figure} ledger_agreement.svg\n---\nalt: Scatter plot" in path.read_text()
    assert (path.parent / "ledger_agreement.svg").read_text().count("<svg")
    empty = ledger.write_ledger(tmp_path / "nothing", tmp_path / "empty" / "ledger.md")
    assert "{figure}" not in empty.read_text()


# How every number stands.


def test_a_number_says_whether_this_build_computed_it(results, tmp_path):
    assert "full: computed on 20" in markdown(results, tmp_path)
    page = markdown(results, tmp_path, since="2000-01-01T00:00:00+00:00")
    assert "full: computed in this build; cpu: computed in this build" in page
    page = markdown(results, tmp_path, since="2999-01-01T00:00:00+00:00")
    assert "full: computed on 20" in page and "computed in this build" not in page


def test_a_spot_check_stands_beside_the_numbers_whose_images_it_computed(tmp_path):
    folder = tmp_path / "results"
    recorder = RunRecorder("table1", "full", folder / "full" / "table1.json")
    images = [Confusion(50 + i, 5, 5, 40) for i in range(4)]
    recorder.add_both("table1.ffhq.saliency", images, [f"seed{i}" for i in range(4)])
    recorder.write()
    rows = (
        Row("table1.ffhq.saliency", "seed2", 0.8, 0.8, 0.005),
        Row("table1.ffhq.saliency", "seed3", 0.7, 0.8, 0.005),
    )
    spot = SpotCheck("full", "abc", "2026-11-25T10:00:00+00:00", 12.0, rows, {"parts": "no parts here"})
    write_spot_check(spot, folder)
    page = markdown(folder, tmp_path)
    assert page.count("2 of 4 images again on 2026-11-25") == 6  # both averages, three IoUs
    assert "2 images with 2 scores, of which 1 are within their tolerance" in page
    assert "| `table1.ffhq.saliency` | seed3 | 0.8000 | 0.7000 | 0.005 | **no** |" in page
    assert "Left out: parts (no parts here)." in page
    assert "again in this build" in markdown(folder, tmp_path, since="2026-11-25T09:59:00+00:00")


def test_every_number_links_to_the_code_that_makes_it(results, tmp_path):
    page = markdown(results, tmp_path)
    (row,) = re.findall(r"^\| saliency rule, face parser, dataset-level, mIoU \|.*$", page, flags=re.MULTILINE)
    address = re.search(r"\[`stylemixseg reproduce table1`\]\((.*?)\)", row)[1]
    path, first, last = re.fullmatch(rf"{REPOSITORY}/blob/\w+/(.*)#L(\d+)-L(\d+)", address).groups()
    lines = (ROOT / path).read_text().splitlines()[int(first) - 1 : int(last)]
    assert lines[0].startswith("def score_queries(") and lines[-1].strip() == "return scores"


def test_every_table_of_reproduce_has_code_to_link_to():
    assert set(listed()) == set(experiments())
    for name, item in experiments().items():
        first = inspect.getsourcelines(item.measured_by)[1]
        assert (listed()[name].words, listed()[name].lines[0]) == (item.words, first)
    assert (
        code_address("notebooks/01_tour.py").endswith("/notebooks/01_tour.py")
        and (ROOT / "notebooks/01_tour.py").exists()
    )


def test_the_repository_has_one_address():
    assert yaml.safe_load((ROOT / "book" / "_config.yml").read_text())["repository"]["url"] == REPOSITORY


# The first screen.


def test_a_number_is_called_higher_or_lower_only_where_the_whole_interval_is():
    def item(low, high):
        return Measurement("a.b", (low + high) / 2, 10, (low, high))

    assert compared(0.80, item(0.78, 0.84)) == "yes: no difference can be told"
    assert compared(0.80, item(0.803, 0.84)) == "yes: no difference can be told"  # the printed 0.80 may be 0.8049
    assert compared(0.80, item(0.81, 0.85)) == "no: higher here, by 0.03"
    assert compared(0.86, item(0.70, 0.78)) == "no: lower here, by 0.12"
    assert compared(0.86, None) == "not measured"


def test_the_same_conclusion_is_the_same_verdict():
    true, false = Verdict(True, "", 1.0), Verdict(False, "", 0.0)
    unsure, absent = Verdict(None, "", 0.5), Verdict(None, "")
    assert [conclusion(true, ours) for ours in (true, false, unsure, absent)] == [
        "yes",
        "no",
        "cannot tell",
        "not measured",
    ]
    assert conclusion(false, false) == "yes"
    assert conclusion(true, Verdict(False, "")) == "no, by point values only"


def test_the_first_screen_judges_over_images(tmp_path):
    folder = tmp_path / "results"
    recorder = RunRecorder("table1", "full", folder / "full" / "table1.json")
    good, bad = Confusion(95, 2, 3, 100), Confusion(40, 60, 20, 80)
    recorder.add_both("table1.ffhq.saliency", [good] * 5 + [bad], None)
    recorder.write()
    judged = Judged(*_read(folder / "full"))
    verdict = judged.verdicts(paper_values())["reaches_080"]
    assert verdict.holds is None and 0.025 < verdict.share < 0.975 and str(verdict) == "cannot tell"
    page = markdown(folder, tmp_path)
    assert re.search(
        r"reaches a mIOU of 0.80 .*\| true \| cannot tell \(holds in \d+% of the resampled sets\) \| cannot tell \|",
        page,
    )
    assert page.index("at a glance") < page.index("## Table 1, FFHQ column") < page.index("## Runs and checks")


def _read(folder):
    return measurements(folder), folder_scores(folder)
