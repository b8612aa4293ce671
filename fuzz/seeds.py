"""Writes fuzz/seeds: small whole files of each format, where a fuzzer starts from.

    pip install pillow numpy safetensors
    python fuzz/seeds.py BURNPACKS RUN

BURNPACKS: the folder of a checkpoint of `segtrain --dataset synthetic-digits --set model.width=0.05 --local-k 1`. RUN: one that segments, for its report. Files of
PyTorch and MATLAB are those of tests/fixtures. A first byte says what the others are, where a target reads several formats.
"""

import gzip
import io
import shutil
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save as safetensors

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "tests" / "fixtures"
rng = np.random.default_rng(1)


def write(target, name, data):
    path = HERE / "seeds" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures():
    rgb = Image.fromarray(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
    for mode in ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"]:
        image = Image.fromarray(rng.integers(0, 65536, (5, 7), dtype=np.uint16)) if mode == "I;16" else rgb.convert(mode)
        write("picture", f"png-{mode.replace(';', '')}.png", encoded(image, "PNG"))
    for mode in ["RGB", "L", "CMYK"]:
        for progressive in [False, True]:
            name = f"jpeg-{mode}{'-progressive' * progressive}.jpg"
            write("picture", name, encoded(rgb.convert(mode), "JPEG", progressive=progressive))
    exif = Image.Exif()
    exif[0x0112] = 6
    write("picture", "jpeg-rotated.jpg", encoded(rgb, "JPEG", exif=exif))


def interlaced(ids):
    """A PNG in Adam7's order, which Pillow does not write: of one pixel a row of one pass."""
    rows = b"\0" + bytes([ids])
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def labels():
    ids = rng.integers(0, 34, (6, 11), dtype=np.uint8)
    write("label", "gray.png", encoded(Image.fromarray(ids), "PNG"))
    palette = Image.fromarray(ids % 16)
    palette = palette.convert("P")
    for bits in [1, 2, 4]:
        small = Image.fromarray(ids % (1 << bits)).convert("P")
        write("label", f"palette-{bits}.png", encoded(small, "PNG", bits=bits))
    instances = np.where(rng.random((6, 11)) < 0.5, 26003, 7).astype(np.uint16)
    write("label", "instances.png", encoded(Image.fromarray(instances), "PNG"))
    write("label", "interlaced.png", interlaced(7))
    write("label", "colours.png", encoded(Image.fromarray(np.zeros((2, 2, 3), np.uint8)), "PNG"))


def records():
    cifar10 = bytes([3]) + bytes(3072)
    cifar100 = bytes([1, 42]) + bytes(3072)
    names = "".join(f"class {i}\n" for i in range(10)).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in [("batches.meta.txt", names), ("test_batch.bin", cifar10)]:
            info = tarfile.TarInfo("cifar-10-batches-bin/" + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    files = [cifar10, names, cifar100, names * 10, gzip.compress(archive.getvalue(), mtime=0)]
    for what, data in enumerate(files):
        write("cifar", f"{what}", bytes([what]) + data)
    write("stl10", "pictures", b"\0" + bytes(2 * 96 * 96 * 3))
    write("stl10", "labels", b"\1" + bytes([1, 10]))
    write("stl10", "folds", b"\2" + b"0 1\n1\n" * 5)
    shutil.copy(FIXTURES / "svhn.mat", HERE / "seeds" / "svhn" / "svhn.mat")


def weights():
    tensors = {"backbone.conv1.weight": np.ones((4, 3, 7, 7), np.float32), "backbone.bn1.bias": np.ones(4, np.float16)}
    write("weights", "small.safetensors", safetensors(tensors))
    write("weights", "header.safetensors", safetensors({"stem.convs.0.conv.weight": np.ones((1, 1, 1, 1), np.float32)}, {"model": "{}"}))
    for name in ["zip.pth", "legacy.pth", "training.pth", "malicious.pth", "malicious.pkl.pth"]:
        write("weights", name, (FIXTURES / name).read_bytes())
    if len(sys.argv) > 1:
        for what, name in enumerate(["module1.bpk", "optimizer1.bpk"]):
            write("burnpack", name, bytes([what]) + (Path(sys.argv[1]) / name).read_bytes())


def texts():
    if len(sys.argv) > 1:
        checkpoint = Path(sys.argv[1])
        write("run_folder", "state", b"\0" + (checkpoint / "state.json").read_bytes())
        write("run_folder", "log", b"\1" + (checkpoint.parents[1] / "metrics.jsonl").read_bytes())
        for run in (checkpoint.parents[1], *map(Path, sys.argv[2:])):
            write("run_folder", f"report-{run.name}", b"\2" + (run / "report.json").read_bytes())
    write("run_folder", "manifest", b"\3" + f"{zlib.crc32(b'{}'):08x} 2 state.json".encode())


def features():
    values = rng.standard_normal(24).astype("<f4").tobytes()
    planes = b"".join(values[byte::4] for byte in range(4))
    head = b"ISGFEAT1" + struct.pack("<5I", 7, 1, 4, 2, 3)
    body = zlib.compress(planes)
    write("features", "small", head + struct.pack("<I", zlib.crc32(head + body)) + body)


(HERE / "seeds" / "svhn").mkdir(parents=True, exist_ok=True)
pictures()
labels()
records()
weights()
texts()
features()
