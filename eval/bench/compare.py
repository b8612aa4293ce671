"""Runs our training step and PyTorch's one after the other, K by K, and writes a table of ratios.

    python compare.py --segbench PATH --out FILE [--resolution 512x1024] [--batch-size 2] [--ks 1,2,4]

Each measurement is a process of its own, so that peaks do not mix.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from machine import describe
from step import CONFIG
from yardstick import DEFAULT_CUTS

HERE = Path(__file__).resolve().parent
# torchvision's class in the words of our configuration.
TORCHVISION = ["model.stem=torchvision", "model.decode_head=torchvision", "model.aspp_channels=256", "model.aux_channels=256"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segbench", type=Path, required=True, help="our program")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--config", type=Path, default=CONFIG, help="for both")
    parser.add_argument("--network", choices=["infoseg", "torchvision"], default="infoseg", help="for both")
    parser.add_argument("--resolution", default="512x1024")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--ks", default="1,2,4")
    parser.add_argument("--cuts", action="append", default=[], metavar="K=BLOCK,...", help="for both")
    parser.add_argument("--steps", type=int, default=2, help="of each process; the first is not measured")
    parser.add_argument("--rounds", type=int, default=1, help="processes of each kind; medians are shown")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--channels-last", action="store_true", help="for PyTorch")
    parser.add_argument("--ours", default="", metavar="ARGS", help='more for our program, such as "--recompute"')
    args = parser.parse_args()
    args.height, args.width = (int(side) for side in args.resolution.split("x"))
    args.ks = [int(k) for k in args.ks.split(",")]
    named = dict(cuts.split("=", 1) for cuts in args.cuts)
    args.cuts = DEFAULT_CUTS | {int(k): cuts.split(",") for k, cuts in named.items()}
    for k in args.ks:
        if len(args.cuts.get(k, [])) != k - 1:
            parser.error(f"K = {k} needs {k - 1} cuts: --cuts {k}=BLOCK,...")
    return args


def ours(k, args):
    line = [args.segbench, "step", "--config", args.config, "--resolution", args.resolution]
    line += ["--batch-size", args.batch_size, "--ks", k, "--bench-steps", args.steps, "--json"]
    line += ["--device", args.device]
    line += ["--precision", args.precision] if args.precision != "f32" else []
    sets = TORCHVISION if args.network == "torchvision" else []
    if k > 1:
        sets = [*sets, "local.cuts=" + json.dumps(args.cuts[k])]
    for text in sets:
        line += ["--set", text]
    return [*line, *shlex.split(args.ours)]


def pytorch(k, args):
    line = [sys.executable, "-B", HERE / "step.py", "--config", args.config, "--network", args.network]
    line += ["--height", args.height, "--width", args.width, "--batch", args.batch_size, "--steps", args.steps, "--k", k]
    line += ["--cuts", ",".join(args.cuts[k])] if k > 1 else []
    line += ["--threads", args.threads, "--device", args.device, "--precision", args.precision]
    return line + (["--channels-last"] if args.channels_last else [])


def run(line, k, args, notes):
    """The record that the program prints for this K; None, and a note, where it has none."""
    line = [str(word) for word in line]
    print("+", shlex.join(line), file=sys.stderr, flush=True)
    environment = os.environ | {"RAYON_NUM_THREADS": str(args.threads)}
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    asked = {"k": k, "height": args.height, "width": args.width, "batch": args.batch_size, "precision": args.precision}
    records = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    for record in records:
        if done.returncode == 0 and all(record.get(key) == value for key, value in asked.items()):
            return record
    said = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1][:200]
    who = "PyTorch" if line[0] == sys.executable else "ours"
    notes.append(f"K = {k}, {who}: no measurement of {asked} (exit status {done.returncode}; {said})")
    return None


def middle(records, key):
    values = [record[key] for record in records if record]
    return statistics.median(values) if values else None


def ratio(a, b):
    return f"{a / b:.3f}" if a and b else "-"


def mib(value):
    return f"{value / 2**20:,.0f}" if value else "-"


def seconds(value):
    return f"{value:.3g}" if value else "-"


def table(found, args):
    """Ratios first, then what they are of."""
    memory = {key: middle(records, "peak_bytes") for key, records in found.items()}
    time = {key: middle(records, "seconds_per_step") for key, records in found.items()}
    heads = ["K", "memory: ours / PyTorch end to end", "memory: ours / PyTorch, same K", "time: ours / PyTorch, same K"]
    heads += ["memory: ours / ours end to end", "time: ours / ours end to end"]
    heads += ["ours MiB", "PyTorch MiB", "ours s/step", "PyTorch s/step"]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for k in args.ks:
        a, b = ("ours", k), ("pytorch", k)
        cells = [str(k), ratio(memory[a], memory.get(("pytorch", 1))), ratio(memory[a], memory[b]), ratio(time[a], time[b])]
        cells += [ratio(memory[a], memory.get(("ours", 1))), ratio(time[a], time.get(("ours", 1)))]
        cells += [mib(memory[a]), mib(memory[b]), seconds(time[a]), seconds(time[b])]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def report(found, notes, args):
    theirs = next((record for (who, _), records in found.items() if who == "pytorch" for record in records if record), {})
    lines = [f"# Training steps: infoseg and PyTorch, {args.resolution}, batch {args.batch_size}, {args.precision}", ""]
    lines += [table(found, args), ""]
    what = "peak of the allocator" if args.device.startswith("cuda") else "peak resident memory of the process"
    lines.append(f"Memory: {what}. Time: median of steps behind the first. PyTorch is eager; - stands for no measurement.")
    if "imported_bytes" in theirs:
        lines.append(f"Of PyTorch's memory {mib(theirs['imported_bytes'])} MiB are there once its libraries are loaded.")
    lines += ["", f"- network: {args.network}, {args.config.name}"]
    lines += [f"- K = {k}: cut after {', '.join(args.cuts[k])}" for k in args.ks if k > 1]
    lines += [f"- each number: median of {args.rounds} process(es) of {args.steps} step(s), programs taking turns"]
    lines += [f"- {line}" for line in describe(args, theirs)]
    lines += [f"- our arguments besides: `{args.ours}`"] if args.ours else []
    lines += ["- PyTorch in channels_last"] if args.channels_last else []
    lines += [f"- {note}" for note in notes]
    lines += ["", "```"]
    lines += [json.dumps(record) for records in found.values() for record in records if record]
    return "\n".join([*lines, "```", ""])


def main():
    args = arguments()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    found, notes = {(who, k): [] for who in ["ours", "pytorch"] for k in args.ks}, []
    for _ in range(args.rounds):
        for k in args.ks:
            for who, line in [("ours", ours), ("pytorch", pytorch)]:
                found[who, k].append(run(line(k, args), k, args, notes))
                # Not only at the end: at full size that is an hour away, and what there is should not be lost.
                args.out.write_text(report(found, notes, args))
    print(table(found, args))
    print("\n".join(notes), file=sys.stderr)
    return 1 if notes else 0


if __name__ == "__main__":
    sys.exit(main())
