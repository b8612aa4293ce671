"""Seconds that PyTorch, and then segpredict, take to segment pictures with the same weights; prints one line of JSON.

    python3 predict.py --work DIR [--count 8] [--height 1024] [--width 2048]
    python3 predict.py --work DIR --segpredict PROGRAM          # with what the first has left in DIR

Both read PNG and write PNG: `picture_seconds` is all of it. `predict_seconds` of PyTorch is from the picture in the
host's memory to the classes there. The first picture is not measured, but told as `first_picture_seconds`.
"""

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.models.segmentation import deeplabv3_resnet101

# torchvision's means and deviations of colours, in units of 1.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CLASSES = 19


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for weights, pictures and predictions")
    parser.add_argument("--segpredict", type=Path, help="measure this program instead of PyTorch")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    if args.count < 2:
        parser.error("--count must be at least 2: the first picture is not measured")
    args.pictures, args.weights = args.work / "pictures", args.work / "weights.pth"
    return args


def draw_pictures(args):
    """Rectangles and noise: PNG has something to do, and classes have borders."""
    args.pictures.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for number in range(args.count):
        coarse = random.integers(0, 256, (16, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((args.width, args.height), Image.Resampling.NEAREST)
        noisy = np.asarray(picture) // 2 + random.integers(0, 32, (args.height, args.width, 1), dtype=np.uint8)
        Image.fromarray(noisy.astype(np.uint8)).save(args.pictures / f"{number:02}.png", compress_level=1)


def network(args):
    """Drawn weights; BatchNorm's statistics are of noise, so that features neither vanish nor explode over 101 layers."""
    torch.manual_seed(1)
    model = deeplabv3_resnet101(weights=None, weights_backbone=None, aux_loss=True, num_classes=CLASSES).to(args.device)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            model.train()(torch.randn(2, 3, 128, 256, device=args.device))
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, args.weights)
    model.aux_classifier = None
    return model.eval()


def predict(model, picture, device):
    """Classes of a picture [H, W, 3], there and back."""
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
    x = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 255
    return model((x - mean) / std)["out"].argmax(1)[0].to(torch.uint8).cpu().numpy()


def summary(program, seconds, **more):
    found = {"program": program, "first_picture_seconds": seconds[0]}
    return found | {"picture_seconds": statistics.median(seconds[1:])} | more


def pytorch(args):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model, seconds, predicting = network(args), [], []
    out = args.work / "pytorch"
    out.mkdir(exist_ok=True)
    on_gpu = args.device.startswith("cuda")
    with torch.inference_mode():
        for number, path in enumerate(sorted(args.pictures.iterdir())):
            if number == 1 and on_gpu:
                torch.cuda.reset_peak_memory_stats(args.device)
            start = time.perf_counter()
            picture = np.array(Image.open(path))
            loaded = time.perf_counter()
            classes = predict(model, picture, args.device)
            predicting.append(time.perf_counter() - loaded)
            Image.fromarray(classes).save(out / path.name)
            seconds.append(time.perf_counter() - start)
    memory = {"max_reserved_bytes": torch.cuda.max_memory_reserved(args.device)} if on_gpu else {}
    return summary("pytorch", seconds, predict_seconds=statistics.median(predicting[1:]), **memory)


def ours(args):
    """As `pytorch`. segpredict names each picture that it has written: the time between two names is a picture's."""
    line = [args.segpredict, "--pretrained", args.weights, args.pictures, "--out", args.work / "ours"]
    line += ["--format", "train-ids", "--device", args.device]
    count = len(list(args.pictures.iterdir()))
    seconds, last = [], time.perf_counter()
    with subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, text=True) as program:
        for _ in program.stdout:
            now = time.perf_counter()
            seconds.append(now - last)
            last = now
    if program.returncode or len(seconds) != count:
        raise SystemExit(f"segpredict: exit status {program.returncode}, {len(seconds)} of {count} pictures")
    return summary("infoseg", seconds, same_classes=agreement(args))


def agreement(args):
    """Share of pixels to which both give the same class."""
    same = []
    for path in sorted((args.work / "pytorch").iterdir()):
        theirs = np.array(Image.open(path))
        same.append(np.mean(np.array(Image.open(args.work / "ours" / f"{path.stem}_labelTrainIds.png")) == theirs))
    return float(np.mean(same))


def main():
    args = arguments()
    if not args.segpredict:
        draw_pictures(args)
    started = time.time()
    found = ours(args) if args.segpredict else pytorch(args)
    record = {"height": args.height, "width": args.width, "device": args.device} | found
    print(json.dumps(record | {"started": started, "ended": time.time()}))


if __name__ == "__main__":
    main()
