"""Large runs: memory and open files of a grid of 200 points; a million records.

python -m tests.reliability_load [--points=200] [--records=1000000]

Prints what it measures. The exit code is 1 if memory or open files grow with the points. Times are
of whole commands, which import for some seconds; they are not judged, since machines differ.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
GROWTH = 1.25  # of memory, from a tenth of the points to all
_FEW = ["--config.chance_permutations=0", "--config.population_splits=()"]  # 13 metrics


def grid(points: int, directory: Path) -> bool:
    """Trains points of label smoothing in one process; prints its memory and open files."""
    values = ", ".join(f"({k / points:.4f},)" for k in range(points))
    process = subprocess.Popen(
        _launch("label_smoothing:smoke", directory, f"--config.points=({values},)", *_FEW),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    seen: dict[int, tuple[float, int]] = {}
    while process.poll() is None:
        done = _lines(directory / "points.jsonl")
        if done and done not in seen:
            seen[done] = _usage(process.pid)
        time.sleep(0.05)
    for done in sorted(seen):
        if done in (1, points) or done % max(points // 10, 1) == 0:
            mib, files = seen[done]
            print(f"{done} runs: {mib:.0f} MiB, {files} open files", flush=True)
    early, late = seen[min(seen, key=lambda k: abs(k - points // 10))], seen[max(seen)]
    bounded = late[0] < GROWTH * early[0] and late[1] <= early[1] + 5
    print(
        f"grid of {points} points: {'bounded' if bounded else 'grows'}, code {process.returncode}"
    )
    return bounded and process.returncode == 0


def records(number: int, directory: Path) -> None:
    """Prints how long a run with very many records takes to resume and to draw."""
    longer = [f"--config.num_steps={number}", "--config.checkpoint_every=100", *_FEW]
    command = _launch("cifar10:smoke", directory, *longer, "--config.eval_every=1")
    file = directory / "metrics.jsonl"
    _until(command, lambda: _lines(file) > 120)
    few = _resumed(command, file)
    begun = [json.loads(line) for line in file.read_text().splitlines()]
    draw = [sys.executable, "-W", "ignore", "-m", "launch.figures", str(directory)]
    short = _seconds(draw)
    noise = random.Random(0)
    with file.open("a") as lines:
        for step in range(begun[-1]["step"] + 1, number):
            record = begun[1 + step % (len(begun) - 1)] | {"step": step, "seconds": step / 100}
            record |= {k: x + noise.random() * 1e-3 for k, x in record.items() if "/" in k}
            lines.write(json.dumps(record) + "\n")
    size = file.stat().st_size / 2**20
    print(f"{number} records of {len(begun[-1])} numbers, {size:.0f} MiB")
    print(f"figures: {_seconds(draw):.1f} s; of {len(begun)} records {short:.1f} s", flush=True)
    print(f"resumption: {_resumed(command, file):.1f} s; of {len(begun)} records {few:.1f} s")


def _launch(config: str, directory: Path, *settings: str) -> list[str]:
    python = [sys.executable, "-W", "ignore", "-m", "launch", f"--config={config}"]
    return [*python, f"--workdir={directory}", *settings]


def _resumed(command: list[str], file: Path) -> float:
    """Seconds until a resumed run has read its records and drops those after its checkpoint."""
    place, start = file.stat().st_mtime_ns, time.monotonic()
    _until(command, lambda: file.stat().st_mtime_ns != place)
    return time.monotonic() - start


def _until(command: list[str], reached) -> None:
    """Runs a command until something is so, and kills it."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not reached():
        assert process.poll() is None, f"{command} has ended"
        time.sleep(0.01)
    process.kill()
    process.wait()


def _seconds(command: list[str]) -> float:
    start = time.monotonic()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _usage(pid: int) -> tuple[float, int]:
    """Resident MiB and number of open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return resident / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def main(argv: list[str] | None = None) -> int:
    """Measures; returns 1 if the grid's memory or open files grow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args(argv)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    with tempfile.TemporaryDirectory(prefix="infojax-load-") as directory:
        if options.records:
            records(options.records, Path(directory, "records"))
        bounded = not options.points or grid(options.points, Path(directory, "grid"))
    return int(not bounded)


if __name__ == "__main__":
    sys.exit(main())
