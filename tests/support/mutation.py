"""Does a test notice when a line of the library is wrong? `python -m tests.support.mutation --sample 400`.

Of all mutants of the files that have no derivative rules (those are in tinygrad_nn/testing/mutants.py) a sample is
drawn, spread over the files by their size. Each runs in a copy of the project with the tests that reach the changed
line: those of the file that mirrors the module, then those of its room, then all others, the fastest first. What no
test notices is a hole, or equivalent: then it stands in mutation_equivalents.toml, with the reason.

Which test reaches which line is measured once for each file of tests, and kept in .mutation.
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.support.source_mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tinygrad_nn"
COPIED = (
    "tinygrad_nn",
    "tests",
    "docs",
    "examples",
    "pyproject.toml",
    "README.md",
    "README.ja.md",
    "CHANGELOG.md",
    "LICENSE",
)
CACHE = ROOT / ".mutation"
EQUIVALENTS = Path(__file__).with_name("mutation_equivalents.toml")

ROOMS = ("primitives", "engine", "graph", "compiler", "optim", "train", "data", "nn")
FILES = ("checkpoint.py", "context.py", "files.py", "states.py")
"""What is broken: rooms and files of the package."""

STATIC = {"tests/test_architecture.py", "tests/test_budget.py", "tests/test_types.py"}
"""Tests that read the source and run nothing of it."""
LONGEST = 60.0
"""Seconds; a test that takes longer is not run with mutants."""

CONFIG = "[run]\nsource = tinygrad_nn\nrelative_files = true\nomit = tinygrad_nn/testing/*\n"


def sources() -> list[str]:
    """Return the files to break, as paths below the package."""
    paths = [path for room in ROOMS for path in sorted((PACKAGE / room).glob("*.py"))]
    return [path.relative_to(PACKAGE).as_posix() for path in paths] + list(FILES)


def sample(files: list[str], size: int, seed: int) -> list[Mutant]:
    """Return `size` mutants, of each file one, and then about its share; changes elsewhere leave the choice alone."""
    everything = {file: mutants(file, (PACKAGE / file).read_bytes()) for file in files}
    total = sum(map(len, everything.values()))

    def draw(mutant: Mutant) -> str:
        return hashlib.sha256(f"{seed} {mutant.id}".encode()).hexdigest()

    ranked = [
        (k / len(found), draw(mutant), mutant)
        for found in everything.values()
        for k, mutant in enumerate(sorted(found, key=draw))
    ]
    return [mutant for _, _, mutant in sorted(ranked, key=lambda row: row[:2])[: min(size, total)]]


def equivalents() -> dict[tuple[str, ...], str]:
    """Return why mutants are equivalent, by their key."""
    table = tomllib.loads(EQUIVALENTS.read_text(encoding="utf-8"))["equivalent"]
    return {(row["file"], row["function"], row["before"], row["after"]): row["reason"] for row in table}


def tiers(file: str, root: Path = ROOT) -> list[list[str]]:
    """Return the files of tests to try with mutants of a file, the nearest first."""
    path = Path(file)
    everything = [
        p for p in sorted((root / "tests").rglob("test_*.py")) if p.parts[-2] not in ("oracle", "benchmarks")
    ]
    everything += [
        p for p in sorted((root / "tinygrad_nn").rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8")
    ]
    names = [p.relative_to(root).as_posix() for p in everything]
    mirror = {f"tests/{path.parent}/test_{path.stem}.py", f"tests/test_{path.stem}.py", f"tinygrad_nn/{file}"}
    room = f"tests/{path.parent}/" if len(path.parts) > 1 else "tests/test_"
    steps = [
        [name for name in names if name in mirror],
        [name for name in names if name not in mirror and name.startswith(room)],
        [name for name in names if name not in mirror and not name.startswith(room)],
    ]
    return [[name for name in step if name not in STATIC] for step in steps]


class Reach:
    """Which tests of a file run which lines, and how long they take: measured when it is first asked for."""

    def __init__(self) -> None:
        self._sources = {
            path.relative_to(PACKAGE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(PACKAGE.rglob("*.py"))
        }
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def _lock_of(self, tests: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(tests, threading.Lock())

    def prepare(self, tier: list[str], file: str, copy: "Copy") -> None:
        """Measure the files of a tier, first those that nobody else is measuring."""
        waiting = list(tier)
        while waiting:
            tests = next((tests for tests in waiting if not self._lock_of(tests).locked()), waiting[0])
            waiting.remove(tests)
            self._measured(tests, file, copy)

    def _measured(self, tests: str, file: str, copy: "Copy") -> tuple[dict[str, float], Any]:
        """Return what was measured when the tests and a file of the package were as they are now."""
        # Of the extra `dev`: who runs the tests alone may lack it.
        from coverage import CoverageData

        name = hashlib.sha256(tests.encode() + copy.read(tests)).hexdigest()[:20]
        times, data = CACHE / f"{name}.json", CACHE / f"{name}.coverage"
        with self._lock_of(tests):
            known = json.loads(times.read_text()) if times.exists() else {"sources": {}}
            if known["sources"].get(file) != self._sources[file]:
                data.unlink(missing_ok=True)
                known = {"times": copy.measure(tests, data), "sources": self._sources}
                times.write_text(json.dumps(known))
        return known["times"], CoverageData(str(data))

    def times(self, mutant: Mutant, tests: str, copy: "Copy") -> dict[str, float]:
        """Return all tests of a file, with the seconds that each takes."""
        times, _ = self._measured(tests, mutant.file, copy)
        return {name: seconds for name, seconds in times.items() if seconds < LONGEST}

    def tests(self, mutant: Mutant, tests: str, copy: "Copy") -> dict[str, float]:
        """Return the tests of a file that reach the lines of a mutant, with the seconds that each takes."""
        if mutant.on_import:
            return self.times(mutant, tests, copy)
        times, data = self._measured(tests, mutant.file, copy)
        if not times:
            return {}
        data.read()
        lines = data.contexts_by_lineno(f"tinygrad_nn/{mutant.file}")
        first, last = mutant.lines
        contexts = {context for line in range(first, last + 1) for context in lines.get(line, ())}
        # What ran before the first test, while modules were imported, shows in any of them.
        if "" in contexts:
            return self.times(mutant, tests, copy)
        names = {context.split("|")[0] for context in contexts}
        return {name: times[name] for name in names if times.get(name, LONGEST) < LONGEST}


class Copy:
    """A copy of the project, in which one mutant after the other is run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps = itertools.count(1)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, folder / name)
        (folder / "lines.ini").write_text(CONFIG)

    def _pytest(self, *arguments: str, limit: float, **variables: str) -> tuple[int, str]:
        """Run pytest; return its exit code and what it printed."""
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONPATH")}
        environment |= {
            "PYTHONPATH": f"{self._folder}{os.pathsep}{self._folder / 'tests/support'}",
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(CACHE / "home"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis"),
            "NO_COLOR": "1",
        }
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", "--hypothesis-seed=0"),
                *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:benchmark", "-p", "chosen_tests"),
                *arguments,
            ],
            cwd=self._folder,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            text, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return 1, "took too long"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return process.returncode, text

    def measure(self, tests: str, data: Path) -> dict[str, float]:
        """Run the tests of a file; write which lines each of them runs, and return the seconds that each takes."""
        cover = ("--cov", "--cov-config=lines.ini", "--cov-context=test", "--cov-report=")
        times = self._folder / "times.json"
        times.write_text("{}")
        _, text = self._pytest(*cover, tests, limit=1200, COVERAGE_FILE=str(data), TEST_TIMES=str(times))
        for line in re.findall(r"^(?:FAILED|ERROR) .+", text, re.MULTILINE):
            print(f"without a mutant: {line}", flush=True)
        return json.loads(times.read_text())

    def read(self, name: str) -> bytes:
        """Return what is in a file, as it was when the copy was made."""
        return (self._folder / name).read_bytes()

    def run(self, mutant: Mutant, reach: Reach) -> str:
        """Return what noticed a mutant; "" if nothing did."""
        path = self._folder / "tinygrad_nn" / mutant.file
        source = path.read_bytes()
        for k, tier in enumerate(tiers(mutant.file, self._folder)):
            reach.prepare(tier, mutant.file, self)
            chosen: dict[str, float] = {}
            for tests in tier:
                chosen |= reach.tests(mutant, tests, self)
            # Nobody sees what Numba compiles, nor what other processes run.
            if not chosen and k == 0:
                for tests in tier:
                    chosen |= reach.times(mutant, tests, self)
            if not chosen:
                continue
            self._write(path, mutant.applied(source))
            caught = self._noticed(chosen)
            self._write(path, source)
            if caught:
                return caught
        return ""

    def _write(self, path: Path, source: bytes) -> None:
        # Python takes an old compiled file for the new one if the times are of the same second.
        path.write_bytes(source)
        stamp = 1_500_000_000 + next(self._stamps)
        os.utime(path, (stamp, stamp))

    def _noticed(self, chosen: dict[str, float]) -> str:
        names = self._folder / "chosen.json"
        names.write_text(json.dumps(dict(sorted(chosen.items(), key=lambda item: item[1]))))
        files = sorted({name.split("::")[0] for name in chosen})
        limit = 120 + 10 * sum(chosen.values())
        code, text = self._pytest("-x", *files, limit=limit, CHOSEN_TESTS=str(names))
        if code == 0:
            return ""
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
        return found.group(1) if found else f"exit code {code}: {' '.join(text.split())[-100:]}"


def run(chosen: list[Mutant], jobs: int) -> list[Mutant]:
    """Run mutants, print what became of each, and return those that nobody noticed."""
    known = equivalents()
    CACHE.mkdir(exist_ok=True)
    (CACHE / "home").mkdir(exist_ok=True)
    same = [mutant for mutant in chosen if mutant.key in known]
    others = [mutant for mutant in chosen if mutant.key not in known]
    reach, copies, holes = Reach(), SimpleQueue(), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        for k in range(jobs):
            copies.put(Copy(Path(folder) / str(k)))

        def one(mutant: Mutant) -> tuple[Mutant, str]:
            copy = copies.get()
            try:
                return mutant, copy.run(mutant, reach)
            finally:
                copies.put(copy)

        try:
            for done in as_completed([pool.submit(one, mutant) for mutant in others]):
                mutant, noticed = done.result()
                print(f"caught   {mutant.id} by {noticed}" if noticed else f"HOLE     {mutant}", flush=True)
                holes += [] if noticed else [mutant]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    caught = len(others) - len(holes)
    print(
        f"{len(chosen)} mutants: {caught} caught, {len(same)} equivalent, {len(holes)} that no test notices"
    )
    return holes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], prog="python -m tests.support.mutation"
    )
    parser.add_argument("--sample", type=int, default=400, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument(
        "--files", nargs="+", help="rooms or files to break, such as optim or engine/tensor.py"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--only", nargs="+", metavar="ID", help="these mutants alone")
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    options = parser.parse_args()
    files = [f for f in sources() if not options.files or any(f.startswith(name) for name in options.files)]
    if options.only:
        everything = sample(files, sys.maxsize, 0)
        chosen = [mutant for mutant in everything if mutant.id in options.only]
    else:
        chosen = sample(files, options.sample, options.seed)
    if options.list:
        print(*chosen, sep="\n")
        return 0
    return 1 if run(chosen, options.jobs) else 0


if __name__ == "__main__":
    sys.exit(main())
