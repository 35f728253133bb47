"""The tools that build the book: running only what changed, saying what failed, finding faults in pages."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path
from statistics import median

import nbformat
import pytest
from bs4 import BeautifulSoup

from stylemixseg.evaluation.results import load_run

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild import check, execute, layout, notebooks, performance, vendor

CHAPTER = '''\
# %% [markdown]
# # Title
#
# **Objectives:** know it.
#
# **Prerequisites:** none.
#
# **Run time:** about 2 to 3 minutes on two cores.

# %% tags=["parameters"]
profile = "cpu"
results = None

# %%
from pathlib import Path

from stylemixseg.evaluation.results import RunRecorder

recorder = RunRecorder("sum", profile, Path(results) / profile / "sum.json")
recorder.add("toy.sum", 2)
path = recorder.write()

# %% [markdown]
# ```{exercise}
# :label: one
# Write `twice(x)`.
# ```
# ```{solution-start} one
# :class: dropdown
# ```

# %% tags=["answer"]
def twice(x):
    """Two times x."""
    return 2 * x

# %% tags=["check"]
assert twice(1) == 2

# %% [markdown]
# ```{solution-end}
# ```
# ```{exercise}
# :label: two
# ```
# ```{solution-start} two
# :class: dropdown
# ```
# ```{solution-end}
# ```
#
# ## Summary
'''


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one chapter, in place of the real one."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "01_sum.py").write_text(CHAPTER)
    monkeypatch.setattr(execute, "notebook_sources", lambda: layout.notebook_sources(folder))
    monkeypatch.setattr(execute, "write_launch_notebooks", lambda sources: None)
    monkeypatch.setattr(execute, "REPORTS", tmp_path / "reports")
    return tmp_path


def _run(book: Path) -> None:
    execute.execute_all("smoke", book / "results", folder=book / "executed")


def test_runs_again_only_what_changed(book: Path, capsys: pytest.CaptureFixture) -> None:
    _run(book)
    assert "running 01_sum" in capsys.readouterr().out
    _run(book)
    assert "unchanged: 01_sum" in capsys.readouterr().out
    (book / "results" / "smoke" / "sum.json").unlink()
    _run(book)
    assert "running 01_sum" in capsys.readouterr().out
    (book / "notebooks" / "01_sum.py").write_text(CHAPTER.replace("# # Title", "# # Another title"))
    _run(book)
    assert "running 01_sum" in capsys.readouterr().out
    names = {m.name for m in load_run(book / "results" / "smoke" / "run_times.json").measurements}
    assert names == {"run_times.01_sum.seconds"}


MEETING = """
# %%
import time

here = Path(results).parent
(here / "NAME").touch()
for _ in range(600):
    if (here / "OTHER").exists():
        break
    time.sleep(0.1)
else:
    raise TimeoutError("the chapter OTHER does not run beside NAME")
"""


def test_chapters_that_run_at_once_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(execute, "usable_cores", lambda: 8)
    environment: dict[str, str] = {}
    execute.share_cores(environment, 3)
    assert environment == {"OMP_NUM_THREADS": "2"}
    execute.share_cores(environment, 8)  # what is set already is the user's
    assert environment == {"OMP_NUM_THREADS": "2"}
    with execute._executor(2) as pool:  # a kernel takes over the environment of its worker
        assert int(pool.submit(os.getenv, "OMP_NUM_THREADS").result()) >= 1


def test_chapters_run_at_once_but_after_those_whose_results_they_show(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The first two wait for one another. The third would find its file only after both, and before the last."""
    monkeypatch.setattr(execute, "AFTER", {"01_sum": {"02_two", "03_three"}})
    for name, other in (("02_two", "03_three"), ("03_three", "02_two")):
        text = CHAPTER.replace('"sum"', f'"{name}"').replace("sum.json", f"{name}.json")
        meeting = MEETING.replace("NAME", name).replace("OTHER", other)
        (book / "notebooks" / f"{name}.py").write_text(text + meeting)
    needed = "\n# %%\nfor name in ('02_two', '03_three'):\n    Path(results, profile, f'{name}.json').stat()\n"
    (book / "notebooks" / "01_sum.py").write_text(CHAPTER + needed)
    execute.execute_all("smoke", book / "results", folder=book / "executed", at_once=2)
    said = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.startswith("running")]
    assert said == ["02_two", "03_three", "01_sum"]
    times = load_run(book / "results" / "smoke" / "run_times.json").measurements
    assert [item.name for item in times] == [f"run_times.{name}.seconds" for name in ("01_sum", "02_two", "03_three")]


def test_a_chapter_that_fails_beside_another_stops_the_build(book: Path, capsys: pytest.CaptureFixture) -> None:
    """The other is kept, so it need not run again."""
    (book / "notebooks" / "01_sum.py").write_text(CHAPTER.replace('"toy.sum", 2', '"toy.sum", 1 / 0'))
    (book / "notebooks" / "02_two.py").write_text(CHAPTER + "\n# %%\nimport time\n\ntime.sleep(5)\n")
    with pytest.raises(layout.BuildError, match="notebook 01_sum failed in cell 3"):
        execute.execute_all("smoke", book / "results", folder=book / "executed", at_once=2)
    assert "01_sum failed; 02_two will be finished first" in capsys.readouterr().out
    assert (book / "executed" / "02_two.ipynb").is_file() and not (book / "executed" / "01_sum.ipynb").exists()
    assert (book / "reports" / "01_sum.ipynb").is_file()


def test_chapters_that_read_results_of_their_own_run_wait_for_earlier_chapters() -> None:
    """`run_baselines` reads the scores of other experiments, too. Who reads more must be entered in `AFTER`."""
    sources = layout.notebook_sources()
    reads = {source.stem for source in sources if re.search(r"folder / P\.name|run_baselines\(", source.read_text())}
    assert reads == set(execute.AFTER)
    names = [source.stem for source in sources]
    for name, before in execute.AFTER.items():
        assert before and all(names.index(other) < names.index(name) for other in before)


def test_a_chapter_runs_in_the_interpreter_that_builds(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kernels named python3 the user has, and whatever IPython would run for the user at its start."""
    for kernels in (book / "jupyter", book / "home" / ".local" / "share" / "jupyter"):
        spec = kernels / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "Mine", "language": "python"}))
    startup = book / "home" / ".ipython" / "profile_default" / "startup" / "mine.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("mine = True\n")
    monkeypatch.setenv("HOME", str(book / "home"))
    monkeypatch.delenv("IPYTHONDIR", raising=False)
    monkeypatch.delenv("JUPYTER_DATA_DIR", raising=False)
    monkeypatch.setenv("JUPYTER_PATH", str(book / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    (book / "notebooks" / "01_sum.py").write_text(
        CHAPTER + "\n# %%\nimport sys\n\nprint(sys.executable)\nprint('mine' in globals())\n"
    )
    _run(book)
    cells = nbformat.read(book / "executed" / "01_sum.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].text == f"{sys.executable}\nFalse\n"


def test_plots_are_kept_as_vectors_and_pictures_are_not(book: Path) -> None:
    """The kernel does so by itself, and lends a chapter no name that it did not import."""
    (book / "notebooks" / "01_sum.py").write_text(
        CHAPTER
        + """
# %%
print([name for name in ("plt", "matplotlib", "Figure") if name in globals()])

# %%
import matplotlib.pyplot as plt
import numpy as np


def drawn(draw):
    figure, axis = plt.subplots()
    draw(axis)
    plt.close(figure)
    return figure


drawn(lambda axis: axis.plot([1, 3, 2]))

# %%
drawn(lambda axis: axis.imshow(np.eye(4)))

# %%
drawn(lambda axis: axis.imshow(np.zeros((64, 64))))

# %%
drawn(lambda axis: axis.scatter(*np.random.default_rng(0).random((2, 5000))))
"""
    )
    _run(book)
    names, *figures = nbformat.read(book / "executed" / "01_sum.ipynb", as_version=4).cells[-5:]
    assert names.outputs[0].text == "[]\n"
    kinds = [{kind for kind in cell.outputs[0].data if kind.startswith("image/")} for cell in figures]
    both, pixels = {"image/png", "image/svg+xml"}, {"image/png"}
    assert kinds == [both, both, pixels, pixels]
    assert "<path" in "".join(figures[0].outputs[0].data["image/svg+xml"])


def test_a_failing_notebook_is_named_with_its_cell(book: Path) -> None:
    (book / "notebooks" / "01_sum.py").write_text(CHAPTER.replace('"toy.sum", 2', '"toy.sum", 1 / 0'))
    with pytest.raises(layout.BuildError) as raised:
        _run(book)
    message = str(raised.value)
    assert (
        "notebook 01_sum failed in cell 3 (`from pathlib import Path`): ZeroDivisionError: division by zero" in message
    )
    assert (book / "reports" / "01_sum.ipynb").is_file()
    assert not (book / "executed" / "01_sum.ipynb").exists()


def test_a_kernel_that_dies_is_named_with_its_cell(book: Path) -> None:
    (book / "notebooks" / "01_sum.py").write_text(CHAPTER + "\n# %%\nimport os\n\nos._exit(9)\n\n# %%\n1 + 1\n")
    with pytest.raises(layout.BuildError, match=r"notebook 01_sum failed in cell 8 \(`import os`\): DeadKernelError"):
        _run(book)


def test_executed_copy_says_nothing_of_the_machine(book: Path) -> None:
    _run(book)
    text = (book / "executed" / "01_sum.ipynb").read_text()
    assert str(book) not in text and "injected-parameters" not in text
    first = nbformat.reads(text, as_version=4).cells[0].source
    assert first.startswith('# Title\n\n<p class="notebook-links">')


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(layout.BuildError, match="smoke"):
        layout.profile_file("smok")


def test_a_complete_chapter_has_no_problem(book: Path) -> None:
    chapter = notebooks.read_source(book / "notebooks" / "01_sum.py")
    assert notebooks.problems(chapter) == []
    assert notebooks.stated_seconds(chapter) == 180


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("## Summary", "## End", "'summary'"),
        ("**Objectives:**", "Things:", "'objectives'"),
        ("about 2 to 3 minutes", "short", "no run time"),
        ("{exercise}\n# :label: two", "{note}", "needs 2 exercises, has 1"),
        ("{solution-start} two", "{solution-start} three", "the exercise two has no solution"),
        ("{solution-start} two\n# :class: dropdown", "{solution-start} two", "two stands open"),
        ("{solution-end}\n# ```\n#\n", "{note}\n# ```\n#\n", "the solution of two has no {solution-end}"),
        (' tags=["answer"]', "", "the check of one has no cell tagged 'answer'"),
        ("results = None", "", "does not set 'results'"),
        (' tags=["parameters"]', "", "one cell tagged 'parameters', has 0"),
    ],
)
def test_what_a_chapter_lacks_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in CHAPTER
    path = tmp_path / "01_x.py"
    path.write_text(CHAPTER.replace(old, new))
    assert problem in " ".join(notebooks.problems(notebooks.read_source(path)))


def test_a_picture_needs_alternative_text_and_a_caption() -> None:
    output = nbformat.v4.new_output("display_data", {"image/png": ""})
    cell = nbformat.v4.new_code_cell("plt.show()", outputs=[output])
    book = nbformat.v4.new_notebook(cells=[cell])
    assert notebooks.figures_without_text(book) == [
        "cell 1 (plt.show()) shows a picture without alternative text and a caption"
    ]
    cell.metadata["mystnb"] = {"image": {"alt": "A face."}, "figure": {"caption": "A face."}}
    assert notebooks.figures_without_text(book) == []


def _page(folder: Path, body: str) -> Path:
    (folder / "vendor").mkdir(exist_ok=True)
    (folder / "index.html").write_text(f"<html><head></head><body>{body}</body></html>")
    return folder


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="a.png" alt="../_images/0a.png">', "no alternative text"),
        ('<img src="a.png">', "no alternative text"),
        ('<div class="cell_output"><img src="a.png" alt="A face."></div>', "no caption"),
        ('<script src="https://elsewhere.example/x.js"></script>', "another host"),
        ('<link rel="stylesheet" href="//elsewhere.example/x.css">', "another host"),
        ('<a href="missing.html">x</a>', "leads nowhere"),
        ('<a href="#missing">x</a>', "no such place"),
        (f"<p>{layout.ROOT}</p>", "folder of this machine"),
    ],
)
def test_faults_of_a_page_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, fault: str) -> None:
    monkeypatch.setattr(check, "expected_pages", lambda: ["index"])
    good = '<h1 id="top">x</h1><figure><img src="a.png" alt="A face."><figcaption>Face.</figcaption></figure>'
    check.check(_page(tmp_path, good + '<a href="#top">up</a><a href="https://elsewhere.example">x</a>'))
    with pytest.raises(layout.BuildError, match=fault):
        check.check(_page(tmp_path, good + body))


def test_a_missing_page_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "expected_pages", lambda: ["index", "notation"])
    with pytest.raises(layout.BuildError, match="notation: page is missing"):
        check.check(_page(tmp_path, ""))


def test_without_npm_the_build_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("VENDOR", "RUNTIME", "TYPESETTER"):
        monkeypatch.setattr(vendor, name, tmp_path / name)
        (tmp_path / name).mkdir()  # of an earlier build, of other versions perhaps
    monkeypatch.setattr(vendor.shutil, "which", lambda program: None)
    assert vendor.vendor() is False
    assert "npm is not installed" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


def test_links_run_the_chapter_on_the_published_branch() -> None:
    soup = BeautifulSoup(notebooks.launch_links("01_tour"), "html.parser")
    owner = layout.repository_url().removeprefix("https://github.com/")
    colab, binder, download = (a["href"] for a in soup.find_all("a"))
    assert colab.endswith(f"/github/{owner}/blob/gh-pages/student/01_tour.ipynb")
    assert binder.endswith(f"/gh/{owner}/gh-pages?labpath=student%2F01_tour.ipynb")
    assert download == "../student/01_tour.ipynb"


def test_the_performance_page_is_made_from_the_result_files(tmp_path: Path) -> None:
    page = performance.write_performance(tmp_path).read_text()
    faces = json.loads((performance.BENCHMARKS / "cpu_faces.json").read_text())
    assert f"| peak memory | {faces['ratios']['peak_bytes']['median']:.2f} |" in page
    assert "alt: Left" in page and (tmp_path / "performance.png").stat().st_size > 10_000
    # What its sentences say of the figure is worked out from the same runs.
    peer, ours = ([run for run in faces["runs"] if run["variant"] == name] for name in ("peer", "ours"))
    whole = median(run["wall_s"] for run in peer)
    mixes = [
        median(run[laps][step] for run in runs) / whole
        for runs, laps, step in ((ours, "query", "summary"), (peer, "laps", "synthesis"))
    ]
    assert f"The mixes take {mixes[0]:.0%} of it in ours and {mixes[1]:.0%} in the peer" in page
    reached = sum(item["iou"] >= faces["bars"]["iou"] for item in faces["agreement"])
    assert f"and {reached} of {len(faces['agreement'])} queries reach it" in page
    assert "Not measured: no GPU was at hand" in page or "ours over the plain loop's" in page
    with pytest.raises(layout.BuildError, match="run benchmarks/cpu_faces.py"):
        performance.write_performance(tmp_path, layout.ROOT / "tests")


def test_the_plan_for_a_million_pairs_follows_from_the_benchmark(tmp_path: Path) -> None:
    shutil.copytree(performance.BENCHMARKS, tmp_path / "results")
    runs = [
        {"variant": "loop", "pairs_per_s": 9.0},
        *({"variant": "process1", "pairs_per_s": rate, "bytes_per_pair": 90_000.0} for rate in (0.4, 0.5, 0.7)),
        {"variant": "process2", "pairs_per_s": 0.3, "bytes_per_pair": 90_000.0},
    ]
    record = {
        "date": "2026-11-30T00:00:00+00:00",
        "machine": {"cpu": "a processor", "cores": 2},
        "settings": {"generator": "faces", "n": 20, "count": 8},
        "bars": {"process2 / loop": 2.0},
        "ratios": {"process2 / loop": {"median": 0.6, "min": 0.5, "max": 0.7, "n": 3}},
        "runs": runs,
        "miou": {"loop": 0.8, "judge2": 0.9},
        "memory": [{"samples": 100, "peak_bytes": 3e8}, {"samples": 1000, "peak_bytes": 3.1e8}],
    }
    (tmp_path / "results" / "factory.json").write_text(json.dumps(record))
    page = performance.write_performance(tmp_path, tmp_path / "results").read_text()
    assert "The fastest variant, process1, made 0.50 pairs per second" in page  # the loop keeps no samples
    assert "a million pairs take 90 GB" in page
    assert "by 0.900 (mIoU over all pixels), and those of the rule by 0.800" in page
    assert "| 100 | 300 |" in page and "| 1000 | 310 |" in page
    assert "| 1 | 556 |" in page and "| 10 | 56 |" in page and "2.9 MB per second from 64 machines" in page


def test_the_live_pages_costs_follow_from_the_benchmark(tmp_path: Path) -> None:
    shutil.copytree(performance.BENCHMARKS, tmp_path / "results")
    value = {"min": 1.0, "median": 2.0, "max": 3.0, "n": 3}
    summary = dict.fromkeys(("first_s", "mask_s", "mix_s", "kmeans_s", "late_ms"), value) | {
        "peak_bytes": {**value, "median": 5e8}
    }
    names = ("network", "int8", "page", "restart", "whole")
    agreement = [{name: {"fg_iou": fg, "bg_iou": 0.97, "same_cluster": 0.99} for name in names} for fg in (0.98, 0.94)]
    record = {
        "date": "2026-11-30T00:00:00+00:00",
        "machine": {"cpu": "a processor", "cores": 2, "load_average": [0.2, 1.1]},
        "settings": {"side": 256, "n": 10, "cutoff": 6, "k": 4},
        "bars": {"first_s": 3.0, "mask_s": 12.0, "download_bytes": 12e6, "peak_bytes": 700e6, "iou": 0.95},
        "summary": {"http": summary, "disk": summary},
        "download_bytes": 10_700_000,
        "agreement": agreement,
    }
    (tmp_path / "results" / "live.json").write_text(json.dumps(record))
    page = performance.write_performance(tmp_path, tmp_path / "results").read_text()
    assert "downloads 10.7 MB (aim: at most 12)" in page and "load was 0.2 and 1.1" in page
    assert "| memory of the page, MB | 500 | 500 | at most 700 from a server |" in page
    assert "| a byte per weight in place of four | 0.960 (0.940) | 0.970 (0.970) | 0.990 (0.990) |" in page


@pytest.mark.parametrize("status", [0, 3])
def test_the_spot_check_beside_other_steps_ends_before_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, status: int
) -> None:
    """Where chapters run at once. It counts as in a build of one step after the other."""
    spec = importlib.util.spec_from_file_location("build_of_the_book", layout.BOOK / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    ran = []
    for name, step in build.STEPS.items():
        recorded = functools.wraps(step)(lambda *options, name=name, **more: ran.append(name))
        monkeypatch.setitem(build.STEPS, name, recorded)
        monkeypatch.setattr(build, f"step_{name}", recorded)
    spots = tmp_path / "build.py"
    done = f"open({str(tmp_path / 'done')!r}, 'w').write(' '.join(sys.argv[1:]))"
    spots.write_text(f"import sys, time\ntime.sleep(1)\n{done}\nsys.exit({status})\n")
    monkeypatch.setattr(build, "__file__", str(spots))
    assert build.main(["all", "--profile", "smoke", "--at-once", "2"]) == bool(status)
    assert (tmp_path / "done").read_text() == "spots --profile smoke"
    others = [name for name in build.STEPS if name != "spots"]
    assert ran == (others[: others.index("ledger")] if status else others)
    assert ("error: the step spots failed" in capsys.readouterr().err) == bool(status)


def test_every_step_of_the_build_can_be_imported() -> None:
    """Also those that no test of a step imports."""
    for path in Path(layout.__file__).parent.glob("[a-z]*.py"):
        importlib.import_module(f"bookbuild.{path.stem}")
