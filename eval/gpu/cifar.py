"""CIFAR-10 as one JPEG file a batch, and back: a tenth of the bytes, to take it along. Pictures lose a little.

    python3 cifar.py pack cifar-10-batches-bin FOLDER       # needs Pillow and NumPy, as unpack does
    python3 cifar.py unpack FOLDER cifar-10-batches-bin
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = "batches.meta.txt"
ROW = 100  # pictures beside one another


def pack(source, target):
    """NAME.jpg holds a batch's pictures row by row, NAME.labels their classes."""
    for path in sorted(source.glob("*.bin")):
        records = np.fromfile(path, np.uint8).reshape(-1, 3073)
        rows = -(-len(records) // ROW)
        pictures = np.zeros((rows * ROW, 3, 32, 32), np.uint8)
        pictures[: len(records)] = records[:, 1:].reshape(-1, 3, 32, 32)
        sheet = pictures.reshape(rows, ROW, 3, 32, 32).transpose(0, 3, 1, 4, 2).reshape(rows * 32, ROW * 32, 3)
        Image.fromarray(sheet).save(target / f"{path.stem}.jpg", quality=95, subsampling=0)
        (target / f"{path.stem}.labels").write_bytes(records[:, 0].tobytes())


def unpack(source, target):
    for path in sorted(source.glob("*.jpg")):
        labels = np.fromfile(path.with_suffix(".labels"), np.uint8)
        sheet = np.array(Image.open(path))
        pictures = sheet.reshape(-1, 32, ROW, 32, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3072)[: len(labels)]
        np.concatenate([labels[:, None], pictures], axis=1).tofile(target / f"{path.stem}.bin")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pack", "unpack"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    args.target.mkdir(parents=True, exist_ok=True)
    shutil.copy(args.source / NAMES, args.target / NAMES)
    {"pack": pack, "unpack": unpack}[args.what](args.source, args.target)


if __name__ == "__main__":
    main()
