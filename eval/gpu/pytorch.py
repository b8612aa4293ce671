"""Training steps of DeepLabV3-ResNet101 in eager PyTorch: seconds and memory; prints one line of JSON for each run.

    python3 pytorch.py --local-k 1,1:checkpoint,2,4 --precision bf16 --height 512 --width 1024 --batch 2

A run is K, and behind colons what else it has: `checkpoint` (every block keeps its input alone and goes forward twice),
`channels-last` (memory format). Each run is a process of its own, so that no memory of one is left to the next. Networks,
local heads, losses and cuts are those of ../bench, with which the Rust program is compared on a CPU.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
import tomllib
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import step as bench
import yardstick
from training import MEAN, STD  # of ../parity, which yardstick made importable

OPTIONS = ["checkpoint", "channels-last"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local-k", default="1", metavar="K[:OPTION...],...", help="runs, one after the other")
    parser.add_argument("--checkpoint", action="store_true", help="for all of them")
    parser.add_argument("--channels-last", action="store_true", help="for all of them")
    parser.add_argument("--config", type=Path, default=bench.CONFIG, help="heads, loss weights and optimizer")
    parser.add_argument("--network", choices=yardstick.NETWORKS, default="torchvision")
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="TF32, or autocast")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    for name in ["height", "width", "batch", "steps"]:
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    always = [name for name in OPTIONS if getattr(args, name.replace("-", "_"))]
    args.runs = []
    for text in args.local_k.split(","):
        k, *options = text.split(":")
        if not k.isdigit() or int(k) not in yardstick.DEFAULT_CUTS:
            parser.error(f"--local-k {text}: K is one of {', '.join(map(str, yardstick.DEFAULT_CUTS))}")
        if unknown := set(options) - set(OPTIONS):
            parser.error(f"--local-k {text}: {unknown.pop()} is none of {', '.join(OPTIONS)}")
        args.runs.append((int(k), sorted({*options, *always})))
    return args


class Checkpointed(nn.Module):
    """A block that keeps its input alone."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return checkpoint(self.block, x, use_reentrant=False)


def train_step(modules, optims, input, label, bf16):
    """One module after the other, each backward before the next one's forward; each module's loss, on the device."""
    picture, kept, x = None, [], input
    if any(module.decoder is not None for module in modules):
        picture = torch.addcmul(MEAN.to(input.device), input, STD.to(input.device)).clamp_(0, 1)
    for module, optimizer in zip(modules, optims):
        with torch.autocast(input.device.type, torch.bfloat16, enabled=bf16):
            x, loss = module(x, label, picture)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        kept.append(loss.detach())
        del loss
    return kept


def prepared(args, k, options):
    """Local modules, their optimizers, and a batch of noise."""
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if "channels-last" in options else torch.contiguous_format
    config = tomllib.loads(args.config.read_text())
    modules, cuts = yardstick.build(config, args.network, yardstick.DEFAULT_CUTS[k])
    modules = modules.to(args.device, memory_format=layout)
    bench.prepare(modules, args.batch)
    optims = bench.optimizers(modules, config["optim"])
    if "checkpoint" in options:
        for module in modules:
            module.blocks = nn.ModuleList(Checkpointed(block) for block in module.blocks)
    size = (args.height, args.width)
    input = torch.randn(args.batch, 3, *size).to(args.device, memory_format=layout)
    label = torch.randint(yardstick.CLASSES, (args.batch, *size))
    label[torch.rand(label.shape) < 0.1] = 255
    return cuts, modules, optims, input, label.to(args.device)


def measure(args, k, options):
    """What the run took; losses, too, so that nobody times a program that computes nonsense."""
    cuts, modules, optims, input, label = prepared(args, k, options)
    on_gpu = args.device.startswith("cuda")
    seconds, losses = [], []
    for step in range(args.steps):
        if step == 1 and on_gpu:
            # What cuDNN tries out in the first step is not what training needs.
            torch.cuda.reset_peak_memory_stats(args.device)
        start = time.perf_counter()
        kept = train_step(modules, optims, input, label, args.precision == "bf16")
        losses = torch.stack(kept).tolist()  # waits for the device
        seconds.append(time.perf_counter() - start)
        if not all(map(math.isfinite, losses)):
            raise SystemExit(f"K = {k}, step {step + 1}: a loss is not finite: {losses}")
    last_half = seconds[len(seconds) // 2 :]
    found = {"cuts": cuts, "losses": losses, "seconds": seconds, "first_step_seconds": seconds[0]}
    found["seconds_per_step"] = statistics.median(last_half)
    if on_gpu:
        found["max_reserved_bytes"] = torch.cuda.max_memory_reserved(args.device)
        found["max_allocated_bytes"] = torch.cuda.max_memory_allocated(args.device)
        found["gpu"] = torch.cuda.get_device_name(args.device)
    return found


def record(args, k, options):
    started = time.time()
    record = {"program": "pytorch", "network": args.network, "k": k, "options": options}
    record |= {"height": args.height, "width": args.width, "batch": args.batch, "precision": args.precision}
    record |= {"device": args.device, "torch": torch.__version__, "torchvision": torchvision.__version__}
    try:
        record |= measure(args, k, options)
    except torch.OutOfMemoryError:
        record["error"] = "out of memory"
    # Between these two times, what the driver had given is this run's.
    return record | {"started": started, "ended": time.time()}


def in_a_process(args, k, options):
    """Prints the record; whether there is one. A fork has PyTorch loaded already, and no CUDA yet."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        print(json.dumps(record(args, k, options)), flush=True)
        status = 0
    except SystemExit as problem:
        print(problem, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def main():
    args = arguments()
    done = [in_a_process(args, *run) for run in args.runs]
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
