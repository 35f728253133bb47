import json
import re

import pytest

from stylemixseg import ledger
from stylemixseg.experiments.photos import INVERSIONS
from stylemixseg.ledger import FOLDER, TABLES, check, markdown, paper_values, propose_expectations, update_expectations
from stylemixseg.results import ResultError, RunRecorder

MAIN = "table1.ffhq.saliency.miou"
ON_PHOTOS = "table1.celeba.encoder.saliency.miou"


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


def test_a_check_holds_and_fails_at_the_tolerance(results, tmp_path):
    expected = tmp_path / "cpu.json"
    expected.write_text(json.dumps({MAIN: {"value": 0.75, "tolerance": 0.02}}))
    (row,) = check("cpu", results, expected)
    assert (row.name, row.measured, row.n, row.interval) == (MAIN, 0.7654321, 12, (0.70, 0.82)) and row.ok
    expected.write_text(json.dumps({MAIN: {"value": 0.74, "tolerance": 0.02}}))
    assert not check("cpu", results, expected)[0].ok


def test_an_expectation_without_its_result_is_named(results, tmp_path):
    expected = tmp_path / "cpu.json"
    expected.write_text(json.dumps({"table4.lab.c8.k4.miou": {"value": 0.75, "tolerance": 0.02}}))
    with pytest.raises(ResultError, match="cpu.json expects table4.lab.c8.k4.miou, which no result file in .*cpu"):
        check("cpu", results, expected)
    with pytest.raises(ResultError, match="table4.lab.c8.k4.miou"):
        markdown(results, tmp_path)


@pytest.mark.parametrize(
    "content, words",
    [
        ("{}", "no expectation"),
        ("[]", "JSON object"),
        ('{"a.b": 1}', "a.b"),
        ('{"a.b": {"value": 1}}', "tolerance"),
        ('{"a.b": {"value": NaN, "tolerance": 1}}', "NaN"),
        ('{"a.b": {"value": 1, "tolerance": -1}}', "at least 0"),
        ('{"a.b": {"value": 1, "tolerance": 1, "x": 1}}', "nothing else"),
        ('{"A b": {"value": 1, "tolerance": 1}}', "dotted"),
    ],
)
def test_a_damaged_expectation_file_is_named(results, tmp_path, content, words):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=words) as caught:
        check("cpu", results, path)
    assert "broken.json" in str(caught.value)


def test_no_expectation_file_is_named(results, tmp_path):
    with pytest.raises(ResultError, match="absent.json"):
        check("cpu", results, tmp_path / "absent.json")


def test_proposed_expectations_hold_and_leave_costs_out(results, tmp_path):
    proposed = propose_expectations("full", results)
    assert proposed == {MAIN: {"value": 0.812346, "tolerance": 0.02}}
    assert propose_expectations("cpu", results)[MAIN]["tolerance"] == 0.06
    path = update_expectations("cpu", results, tmp_path / "cpu.json")
    assert all(row.ok for row in check("cpu", results, path))
    with pytest.raises(ResultError, match="no results of profile paper"):
        propose_expectations("paper", results)


@pytest.mark.parametrize(
    "name",
    [
        "counts.pixels",
        "table1.ffhq.saliency.deeplab.miou",
        "references.agreement.miou",
        "table1.celeba.both.discriminant_cut.miou",
    ],
)
def test_only_ious_that_every_machine_can_measure_are_expected(tmp_path, name):
    run(tmp_path, "cpu", {MAIN: (0.8, 12, (0.7, 0.9)), name: (0.8, 12, (0.7, 0.9)), "single.image.miou": (0.9, None, None)})
    assert set(propose_expectations("cpu", tmp_path)) == {MAIN}


def test_the_page_keeps_papers_and_our_numbers_in_separate_columns(results, tmp_path):
    page = markdown(results, tmp_path)
    header = (
        "| setting | paper reported (FFHQ StyleGAN2, A100) | measured here, full run | measured here, quick cpu run |"
    )
    assert page.count(header) == 6
    assert (
        "| saliency rule, face parser, dataset-level, mIoU | 0.80 | 0.812 [0.790, 0.830], n = 100 "
        "| 0.765 [0.700, 0.820], n = 12 |" in page
    )
    assert "| LAB, c = 6, k = 4 | 0.79 | not measured | not measured |" in page
    assert "The generator is a different one." in page
    assert "**true**: mIOU 0.812 | **false**: mIOU 0.765" in page
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
        f"table1.celeba.{method}.{iou}" for method in ("datasetgan", "l4f", "sis") for iou in ("fg_iou", "bg_iou", "miou")
    }


def test_numbers_on_photos_stand_in_their_table(results, tmp_path):
    sharp = "table1.celeba.encoder.discriminant_sharp.miou"
    values = {ON_PHOTOS: (0.85, 8, (0.8, 0.9)), sharp: (0.91, 8, (0.88, 0.94)),
              "table1.celeba.face_parser.miou": (0.93, 8, (0.92, 0.94))}
    run(results, "cpu", values, experiment="table1_photos")
    page = markdown(results, tmp_path)
    assert (
        "| encoder: saliency rule, dataset-level, mIoU | 0.86 | not measured | 0.850 [0.800, 0.900], n = 8 |" in page
    )
    assert (
        "| encoder: discriminant, sharpened (ours), dataset-level, mIoU | not reported | not measured "
        "| 0.910 [0.880, 0.940], n = 8 |" in page
    )
    assert (
        "| face parser on the photo (supervised), dataset-level, mIoU | not reported | not measured "
        "| 0.930 [0.920, 0.940], n = 8 |" in page
    )


def test_expectations_on_photos_count_only_where_photos_were(results, tmp_path):
    expected = tmp_path / "cpu.json"
    entries = {MAIN: {"value": 0.76, "tolerance": 0.02}, ON_PHOTOS: {"value": 0.85, "tolerance": 0.02}}
    expected.write_text(json.dumps(entries))
    assert [row.name for row in check("cpu", results, expected)] == [MAIN]
    run(results, "cpu", {"table1.celeba.encoder.oracle.miou": (0.95, 8, None)}, experiment="table1_photos")
    with pytest.raises(ResultError, match=ON_PHOTOS):  # photos were there, but this was not measured
        check("cpu", results, expected)
    run(results, "cpu", {ON_PHOTOS: (0.7, 8, (0.6, 0.8))}, experiment="table1_photos")
    assert {row.name: row.ok for row in check("cpu", results, expected)} == {MAIN: True, ON_PHOTOS: False}


def test_toy_results_never_enter_the_page(results, tmp_path):
    run(results, "cpu", {"toy.table1.ffhq.saliency.miou": (0.98765, 6, None)}, experiment="toy")
    run(results, "smoke", {"toy.table4.lab.c8.k4.miou": (0.98765, 6, None)}, experiment="toy")
    page = markdown(results, tmp_path)
    assert "0.988" not in page and "toy." not in page


def test_the_corner_grid_shows_where_it_was_measured(results, tmp_path):
    assert "Table 4 again" not in markdown(results, tmp_path)
    run(results, "full", {"table4_corner.lab.c8.k4.miou": (0.7, 40, None)}, experiment="table4")
    page = markdown(results, tmp_path)
    assert "Table 4 again" in page and "| LAB, c = 8, k = 4 | 0.78 | 0.700, n = 40 | not measured |" in page


def test_the_page_of_nothing_says_so(tmp_path):
    page = markdown(tmp_path, tmp_path)
    assert "Nothing has been run here." in page and page.count("This profile has not been run here.") == 2
    assert page.count("| not measured | not measured |") >= 60


def test_checks_stand_on_the_page(results, tmp_path):
    update_expectations("full", results, tmp_path / "full.json")
    page = markdown(results, tmp_path)
    assert "1 of 1 measurements are within their tolerance." in page
    assert f"| `{MAIN}` | 0.812 | 0.020 | 0.812 [0.790, 0.830] | 100 | yes |" in page
    assert "No expectations are recorded for this profile." in page


def test_all_rows_of_a_table_have_as_many_cells_as_its_header(results, tmp_path):
    for block in markdown(results, tmp_path).split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_the_written_page_is_the_page(results, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "FOLDER", tmp_path)
    (tmp_path / "paper.json").write_bytes((FOLDER / "paper.json").read_bytes())
    assert ledger.write_ledger(results, tmp_path / "page.md").read_text() == markdown(results)
