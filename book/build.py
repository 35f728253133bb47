#!/usr/bin/env python3
"""Build the book, or one step of it.

python book/build.py all --profile cpu       everything, in order
python book/build.py execute --profile smoke one step
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from bookbuild import check, execute, layout, live, pages, slides, spots, vendor, wholebook

from stylemixseg.experiments.profile import load_profile
from stylemixseg.generators.zoo import CATALOGUE
from stylemixseg.ledger import page as ledger

BEGAN = datetime.now(timezone.utc).isoformat(timespec="seconds")  # what is measured later was recomputed in this build


def step_fetch(profile: str) -> None:
    """get the generator that the profile uses"""
    name = load_profile(profile).generator
    if name not in CATALOGUE:
        print(f"nothing to get: {name} is a file of yours")
    else:
        _cli("fetch", name)


def step_execute(profile: str, at_once: int = 1) -> None:
    """run the notebooks that have changed"""
    execute.execute_all(profile, layout.RESULTS, at_once=at_once)


def step_numbers(profile: str) -> None:
    """compare the measured numbers with the committed expectations"""
    _cli("ledger", "--check", "--profile", profile)


def step_spots(profile: str) -> None:
    """compute a few images of the committed full run again"""
    if profile == "cpu":  # the profile whose book shows the full run beside its own
        spots.check_spots(layout.RESULTS)


def step_vendor(profile: str) -> None:
    """get MathJax, the widget manager and the runtime of the live page"""
    vendor.vendor()


def step_slides(profile: str) -> None:
    """write the slides of the course from the figures of the chapters"""
    slides.build_slides()


def step_live(profile: str) -> None:
    """make the live page's network or recording, and the pictures of the first page"""
    live.write_live(profile)


def step_ledger(profile: str) -> None:
    """write the reproduction ledger, a page made from the result files"""
    ledger.write_ledger(layout.RESULTS, layout.GENERATED / "ledger.md", since=BEGAN)


def step_html(profile: str) -> None:
    """build the pages"""
    pages.build_html()


def step_files(profile: str) -> None:
    """make PDF and EPUB of the whole book from the pages"""
    wholebook.build_files()


def step_check(profile: str) -> None:
    """check the built pages and files"""
    check.check()


STEPS: dict[str, Callable[[str], None]] = {
    "fetch": step_fetch,
    "execute": step_execute,
    "numbers": step_numbers,
    "spots": step_spots,
    "vendor": step_vendor,
    "slides": step_slides,
    "live": step_live,
    "ledger": step_ledger,
    "html": step_html,
    "files": step_files,
    "check": step_check,
}


class Beside:
    """A step that runs in a process of its own, while others go on."""

    def __init__(self, name: str):
        self.name, self.process = name, None

    def begin(self, profile: str) -> None:
        """Start it."""
        command = [sys.executable, __file__, self.name, "--profile", profile]
        environment = dict(os.environ)
        execute.share_cores(environment, 2)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)

    def end(self) -> None:
        """Wait for it.

        Raises:
            BuildError: it failed; its own message stands above.
        """
        if self.process and self.process.wait() != 0:
            raise layout.BuildError(f"the step {self.name} failed")

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process:
            self.process.terminate()
            self.process.wait()


def _cli(*arguments: str) -> None:
    """Run the package's own command.

    Raises:
        BuildError: it failed; its own message stands above.
    """
    program = Path(sys.executable).parent / "stylemixseg"
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise layout.BuildError(f"`stylemixseg {' '.join(arguments)}` failed")


def main(arguments: list[str] | None = None) -> int:
    lines = "\n".join(f"  {name:<9} {step.__doc__}" for name, step in STEPS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nsteps, in order:\n{lines}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["all", *STEPS])
    parser.add_argument("--profile", default="cpu", help="sizes and generator to run with (default: %(default)s)")
    parser.add_argument(
        "--at-once",
        type=int,
        choices=range(1, 17),
        default=1,
        metavar="N",
        help="run N notebooks at the same time; the seconds that they report then grow (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    steps, spots = STEPS | {"execute": partial(step_execute, at_once=options.at_once)}, Beside("spots")
    if options.step == "all" and options.at_once > 1:
        # Until the ledger tells of it, nothing that is made meanwhile has to do with the spot check.
        steps |= {"spots": spots.begin, "ledger": lambda profile: (spots.end(), step_ledger(profile))}
    try:
        layout.profile_file(options.profile)
        for name in STEPS if options.step == "all" else [options.step]:
            print(f"== {name}: {STEPS[name].__doc__}", flush=True)
            started = time.monotonic()
            steps[name](options.profile)
            print(f"== {name}: {time.monotonic() - started:.1f} s", flush=True)
    except layout.BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        spots.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
