"""Pictures and labels a second that one core decodes and augments with Pillow and torchvision; prints a line of JSON.

    python data.py --segdata PATH [--data-root DIR] [--window]

The pipeline is mmsegmentation's for Cityscapes: a pair of PNG files of 1024x2048, scaled by 0.5 to 2, a crop of 512x1024 in
which no class holds more than 75 %, mirrored or not, photometric distortion, normalised float32. Everything stays in bytes
until the last step, and distortions go through tables: faster than mmsegmentation's float32 arrays, with the same ranges.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
TRAIN_IDS = np.full(256, 255, np.uint8)
TRAIN_IDS[LABEL_IDS] = np.arange(len(LABEL_IDS))
LEVELS = np.arange(256, dtype=np.float32)
CROP_TRIES, MAX_SHARE = 10, 0.75


def decode(image_path, label_path):
    return Image.open(image_path).convert("RGB"), np.asarray(Image.open(label_path))


def nearest(at, length, scaled):
    """Where pixels of the scaled label come from."""
    return np.minimum((2 * at + 1) * length // (2 * scaled), length - 1)


def crop_place(label, scaled, crop):
    """Left and top of a crop, and its train ids; drawn again while one class holds too much of it."""
    for _ in range(CROP_TRIES + 1):
        top, left = (random.randint(0, whole - part) for whole, part in zip(scaled, crop))
        rows, columns = (
            nearest(np.arange(start, start + part), length, whole)
            for start, part, length, whole in zip((top, left), crop, label.shape, scaled)
        )
        ids = TRAIN_IDS[label[rows[:, None], columns]]
        counts = np.bincount(ids.ravel(), minlength=256)[: len(LABEL_IDS)]
        if np.count_nonzero(counts) > 1 and counts.max() < MAX_SHARE * counts.sum():
            break
    return left, top, ids


def scaled_crop(image, label, crop, window):
    """The whole picture is scaled, then cut, as the transforms of both toolboxes do it; or only the window is scaled."""
    scale = random.uniform(0.5, 2.0)
    scaled = tuple(max(part, round(length * scale)) for part, length in zip(crop, label.shape))
    left, top, ids = crop_place(label, scaled, crop)
    box = (left, top, left + crop[1], top + crop[0])
    if not window:
        return image.resize(scaled[::-1], Image.Resampling.BILINEAR).crop(box), ids
    fy, fx = (length / whole for length, whole in zip(label.shape, scaled))
    part = (box[0] * fx, box[1] * fy, min(box[2] * fx, image.width), min(box[3] * fy, image.height))
    return image.resize(crop[::-1], Image.Resampling.BILINEAR, box=part), ids


def table(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def photometric(image):
    """mmsegmentation's PhotoMetricDistortion: brightness, contrast, saturation, hue, each with probability 1/2."""
    chance = lambda: random.random() < 0.5
    before = LEVELS
    if chance():
        before = table(before + random.uniform(-32, 32)).astype(np.float32)
    contrast_first, contrast = chance(), random.uniform(0.5, 1.5) if chance() else None
    if contrast is not None and contrast_first:
        before = table(before * contrast)
    if before is not LEVELS:
        image = image.point(table(before).tolist() * 3)
    saturation = random.uniform(0.5, 1.5) if chance() else None
    hue = random.randrange(-18, 18) if chance() else None
    if saturation is not None or hue is not None:
        # 18 steps of OpenCV's hue circle, which has 180; Pillow's has 256.
        turned = (np.arange(256) + round((hue or 0) * 256 / 180)) % 256
        stronger = table(LEVELS * (1 if saturation is None else saturation))
        tables = turned.tolist() + stronger.tolist() + list(range(256))
        image = image.convert("HSV").point(tables).convert("RGB")
    if contrast is not None and not contrast_first:
        image = image.point(table(LEVELS * contrast).tolist() * 3)
    return image


def augment(image, label, crop, window):
    image, ids = scaled_crop(image, label, crop, window)
    if random.random() < 0.5:
        image, ids = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), np.ascontiguousarray(ids[:, ::-1])
    input = functional.normalize(functional.to_tensor(photometric(image)), MEAN, STD, inplace=True)
    return input, torch.from_numpy(ids).long()


def find_pairs(root):
    labels = sorted(root.glob("gtFine/*/*/*_gtFine_labelIds.png"))
    folder = lambda label: root.joinpath("leftImg8bit", *label.parts[-3:-1])
    images = [folder(label) / label.name.replace("_gtFine_labelIds", "_leftImg8bit") for label in labels]
    return [pair for pair in zip(images, labels) if pair[0].exists()]


def measure(pairs, args):
    random.seed(1)
    torch.set_num_threads(1)
    crop = (args.height, args.width)
    for pair in pairs:  # into the page cache: the disk is not what is compared
        for path in pair:
            path.read_bytes()
    augment(*decode(*pairs[0]), crop, args.window)
    decoding, start, cpu = 0.0, time.perf_counter(), time.process_time()
    for i in range(args.count):
        began = time.perf_counter()
        image, label = decode(*pairs[i % len(pairs)])
        decoding += time.perf_counter() - began
        input, ids = augment(image, label, crop, args.window)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert input.shape == (3, *crop) and input.dtype == torch.float32 and ids.shape == crop
    record = {"program": "pytorch", "bench": "data", "resize": "window" if args.window else "whole"}
    record |= {"files": list(label.shape), "crop": list(crop), "picture_bytes": pairs[0][0].stat().st_size}
    record |= {"pairs": args.count, "seconds": seconds, "cpu_seconds": cpu}
    record |= {"pairs_per_second": args.count / seconds, "pairs_per_cpu_second": args.count / cpu}
    record |= {"decode_ms": 1e3 * decoding / args.count, "augment_ms": 1e3 * (seconds - decoding) / args.count}
    record |= {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__}
    print(json.dumps(record))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    built = Path(__file__).resolve().parents[2] / "target" / "release" / "segdata"
    parser.add_argument("--segdata", type=Path, default=built, help="draws the files, where there is no --data-root")
    parser.add_argument("--data-root", type=Path, help="a folder in Cityscapes layout instead")
    parser.add_argument("--resolution", default="1024x2048", help="of the files that segdata draws")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--count", type=int, default=100, help="pairs to go through")
    parser.add_argument("--window", action="store_true", help="scale only what the crop shows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.data_root or Path(folder)
        if not args.data_root:
            line = [args.segdata, "synth", "--out", root, "--split", "train", "--count", args.files]
            line += ["--resolution", args.resolution]
            subprocess.run([str(word) for word in line], check=True, stdout=subprocess.DEVNULL)
        pairs = find_pairs(root)[: args.files]
        if not pairs:
            raise SystemExit(f"{root}: no picture with a *_gtFine_labelIds.png in Cityscapes layout")
        measure(pairs, args)


if __name__ == "__main__":
    main()
