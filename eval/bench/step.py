"""Time and memory of SGD training steps in eager PyTorch, one configuration a process; prints one line of JSON.

    python step.py --k 2 --height 512 --width 1024 --batch 2 --steps 3
"""

import argparse
import json
import math
import os
import statistics
import time
import tomllib
from pathlib import Path

import torch
import torchvision
from torch import nn

import yardstick
from training import MEAN, STD  # of ../parity, which yardstick made importable

# The program's default for Cityscapes.
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "cityscapes-r101-k2-1024x2048.toml"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG, help="network, heads, loss weights and optimizer")
    parser.add_argument("--network", choices=yardstick.NETWORKS, default="infoseg", help="ours, or torchvision's")
    parser.add_argument("--k", type=int, default=1, help="local modules; 1 is end to end")
    parser.add_argument("--cuts", help="the K - 1 blocks to cut after, such as layer1,layer3.6")
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="the first, where there are more, is not measured")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", help="cpu, or cuda[:index]")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="on CUDA: TF32, or autocast")
    parser.add_argument("--channels-last", action="store_true", help="memory format of weights and activations")
    args = parser.parse_args()
    args.on_cuda = args.device.startswith("cuda")
    if args.precision == "bf16" and not args.on_cuda:
        parser.error("--precision bf16 needs --device cuda")
    for name in ["k", "height", "width", "batch", "steps", "threads"]:
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.cuts:
        args.cuts = args.cuts.split(",")
    elif args.k in yardstick.DEFAULT_CUTS:
        args.cuts = yardstick.DEFAULT_CUTS[args.k]
    else:
        parser.error(f"--k {args.k} needs --cuts")
    if len(args.cuts) != args.k - 1:
        parser.error(f"--k {args.k} needs {args.k - 1} cuts, not {len(args.cuts)}")
    return args


def prepare(modules, batch):
    modules.train()
    if batch > 1:
        return
    # BatchNorm refuses to train on one value per channel, which is what image pooling leaves of one picture. There our
    # program uses the running statistics as well.
    for layer in modules.modules():
        if isinstance(layer, nn.Sequential) and isinstance(layer[0], nn.AdaptiveAvgPool2d):
            layer.eval()


def optimizers(modules, optim):
    options = dict(lr=optim["lr"], momentum=optim["momentum"], weight_decay=optim["weight_decay"])
    options["nesterov"] = optim.get("nesterov", False)
    # Fused: one pass over the weights, and no copy of all gradients.
    return [torch.optim.SGD(module.parameters(), fused=True, **options) for module in modules]


def train_step(modules, optims, input, label, args):
    """Each module's loss, on the device."""
    picture, kept = None, []
    if any(module.decoder is not None for module in modules):
        picture = torch.addcmul(MEAN.to(input.device), input, STD.to(input.device)).clamp_(0, 1)
    x = input
    for module, optimizer in zip(modules, optims):
        with torch.autocast("cuda", torch.bfloat16, enabled=args.precision == "bf16"):
            x, loss = module(x, label, picture)
        loss.backward()
        optimizer.step()
        # Now rather than before the next step: the next module need not see this one's gradients in memory.
        optimizer.zero_grad(set_to_none=True)
        kept.append(loss.detach())
        del loss
    return kept


def peak_bytes(args):
    """Of the allocator on a GPU, of the whole process on a CPU."""
    if args.on_cuda:
        return torch.cuda.max_memory_allocated(args.device)
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# Libraries alone: part of the process's peak, but not of what training needs, and more of it with a CUDA build.
IMPORTED = peak_bytes(argparse.Namespace(on_cuda=False))


def measure(args):
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    config = tomllib.loads(args.config.read_text())
    modules, cuts = yardstick.build(config, args.network, args.cuts)
    modules = modules.to(args.device, memory_format=layout)
    prepare(modules, args.batch)
    optims = optimizers(modules, config["optim"])
    size = (args.height, args.width)
    input = torch.randn(args.batch, 3, *size).to(args.device, memory_format=layout)
    label = torch.randint(yardstick.CLASSES, (args.batch, *size))
    label[torch.rand(label.shape) < 0.1] = 255
    label = label.to(args.device)

    seconds = []
    for step in range(args.steps):
        if step == 1 and args.on_cuda:
            # What cuDNN tries out in the first step is not what training needs.
            torch.cuda.reset_peak_memory_stats(args.device)
        start = time.perf_counter()
        kept = torch.stack(train_step(modules, optims, input, label, args)).tolist()  # waits for the device
        seconds.append(time.perf_counter() - start)
        if not all(map(math.isfinite, kept)):
            raise SystemExit(f"step {step + 1}: a loss is not finite: {kept}")
    return cuts, seconds, kept


def main():
    args = arguments()
    cuts, seconds, last_losses = measure(args)
    record = {"program": "pytorch", "network": args.network, "k": args.k, "cuts": cuts}
    record |= {"height": args.height, "width": args.width, "batch": args.batch}
    record |= {"precision": args.precision, "device": args.device, "threads": args.threads}
    record |= {"channels_last": args.channels_last, "seconds": seconds}
    record |= {"seconds_per_step": statistics.median(seconds[1:] or seconds), "peak_bytes": peak_bytes(args)}
    if not args.on_cuda:
        record["imported_bytes"] = IMPORTED
    record |= {"losses": last_losses, "torch": torch.__version__, "torchvision": torchvision.__version__}
    if args.on_cuda:
        record["gpu"] = torch.cuda.get_device_name(args.device)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
