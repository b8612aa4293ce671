"""Times the official evaluator and `segeval --predictions` on the same label ids, one after the other, several times.

    python throughput.py [--bin FOLDER] [--count 40] [--rounds 3]

Both sides are whole processes, from start to written result.
"""

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from compare import HERE, official, ours, predictions


def seconds(work):
    """Of the clock, and of the processors."""
    start, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    processors = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, processors


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.processor()}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, default=HERE.parents[1] / "target" / "release", help="folder of segeval, segdata")
    parser.add_argument("--count", type=int, default=40, help="pictures of 1024x2048")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, results, export, out = (Path(folder) / name for name in ("data", "results", "official", "ours"))
        line = ["synth", "--out", root, "--split", "val", "--count", args.count, "--resolution", "1024x2048"]
        subprocess.run([args.bin / "segdata", *map(str, line)], check=True, stdout=subprocess.DEVNULL)
        predictions(root, results, np.random.default_rng(0))
        export.mkdir()
        sides = {
            "official": lambda: official(root, results, export),
            "segeval": lambda: ours(args.bin / "segeval", root, results, out),
            "segeval, one thread": lambda: ours(args.bin / "segeval", root, results, out, threads=1),
        }
        print(f"{args.count} pictures of 1024x2048 with instance ids, {processor()}, load {os.getloadavg()[0]:.1f} before")
        taken = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, work in sides.items():
                taken[name].append(seconds(work))
        for i, clock in enumerate(["clock", "processors"]):
            medians = {name: statistics.median([times[i] for times in taken[name]]) for name in sides}
            for name, median in medians.items():
                listed = ", ".join(f"{times[i]:.2f}" for times in taken[name])
                ratio = medians["official"] / median
                print(f"{clock:<10}  {name:<19} {args.count / median:6.1f} pictures/s  {ratio:5.1f} x  (seconds: {listed})")


if __name__ == "__main__":
    main()
