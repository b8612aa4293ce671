"""What a measurement was made on, and with."""

import datetime
import os
import platform
import subprocess
from pathlib import Path


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def field(text, name):
    found = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name)]
    return found[0] if found else ""


def memory_bytes():
    """Of the machine, or of the container where that is less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]:
        limit = read(path).strip()
        sizes += [int(limit)] if limit.isdigit() else []
    return min(sizes)


def output(*line):
    try:
        return subprocess.run(list(map(str, line)), capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    except OSError:
        return ""


def describe(args, record):
    """Lines for the report; `record` is one that PyTorch's side printed."""
    cpu = field(read("/proc/cpuinfo"), "model name") or platform.processor()
    cores = len(os.sched_getaffinity(0))
    lines = [f"machine: {cores} cores of {cpu}, {memory_bytes() / 2**30:.1f} GiB, {args.threads} threads"]
    lines += [f"GPU: {record['gpu']}"] if "gpu" in record else []
    ours = output(args.segbench.resolve(), "--version")
    commit = output("git", "describe", "--always", "--dirty")
    lines.append(f"ours: {ours or 'segbench'}, commit {commit or 'unknown'}")
    versions = ", ".join(f"{name} {record[name]}" for name in ["torch", "torchvision"] if name in record)
    lines.append(f"PyTorch: {versions or 'no measurement'}, Python {platform.python_version()}")
    lines.append(f"date: {datetime.date.today()}, load {os.getloadavg()[0]:.1f} at the end")
    return lines
