"""Scores the same label ids with the official Cityscapes evaluator and with `segeval --predictions`; prints both.

    python compare.py [--bin FOLDER]

Exits with 1 if any number differs by more than 1e-9, or if one side has a number where the other has none.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import id2label
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-9
CLASSES = [label.name for label in id2label.values() if label.id >= 0 and not label.ignoreInEval]
CATEGORIES = ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]
# Key of report.json, key of the official result, names in it.
TABLES = [
    ("classes", "classScores", CLASSES),
    ("categories", "categoryScores", CATEGORIES),
    ("iiou_classes", "classInstScores", CLASSES),
    ("iiou_categories", "categoryInstScores", CATEGORIES),
]
MEANS = [
    ("miou", "averageScoreClasses"),
    ("miou_categories", "averageScoreCategories"),
    ("miiou_classes", "averageScoreInstClasses"),
    ("miiou_categories", "averageScoreInstCategories"),
]


def add_void(root):
    """Puts into the truth what the scenes lack: void things, a caravan, and a group that is not told apart."""
    for path in sorted((root / "gtFine" / "val").glob("*/*_gtFine_labelIds.png")):
        instance_path = path.with_name(path.name.replace("labelIds", "instanceIds"))
        ids, instances = np.array(Image.open(path)), np.array(Image.open(instance_path))
        cars, persons = (np.unique(instances[instances // 1000 == label]) for label in (26, 24))
        if len(cars):
            caravan = instances == cars[-1]
            ids[caravan], instances[caravan] = 29, 29000
        if len(persons):
            instances[instances == persons[-1]] = 24
        y, x = ids.shape[0] // 3, ids.shape[1] // 2
        for void, rows in ((9, slice(y, y + 20)), (15, slice(y + 20, y + 40))):
            ids[rows, x:] = instances[rows, x:] = void
        Image.fromarray(ids).save(path)
        Image.fromarray(instances).save(instance_path)


def predictions(root, out, rng):
    """The truth, moved a little, with blocks of other ids: scored ones, void ones, and "unlabeled"."""
    for truth in sorted((root / "gtFine" / "val").glob("*/*_gtFine_labelIds.png")):
        ids = np.array(Image.open(truth))
        height, width = ids.shape
        ids = np.roll(ids, rng.integers(-4, 5, 2), (0, 1))
        for _ in range(40):
            h, w = rng.integers(2, height // 4), rng.integers(2, width // 4)
            y, x = rng.integers(0, height - h), rng.integers(0, width - w)
            block = ids[y : y + h, x : x + w]
            to = rng.integers(0, 34)
            if rng.random() < 0.5:
                block[:] = to
            else:  # one class mistaken for another, such as a car for a caravan
                block[block == block[h // 2, w // 2]] = to
        city = out / truth.parent.name
        city.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids).save(city / truth.name.replace("_gtFine_labelIds", "_labelIds"))


def official(root, results, export):
    environment = {
        **os.environ,
        "CITYSCAPES_DATASET": str(root),
        "CITYSCAPES_RESULTS": str(results),
        "CITYSCAPES_EXPORT_DIR": str(export),
    }
    module = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    subprocess.run([sys.executable, "-W", "ignore", "-m", module], env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads((export / "resultPixelLevelSemanticLabeling.json").read_text())


def ours(segeval, root, results, out, threads=0):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}  # 0: as many as there are cores
    line = [segeval, "--predictions", results, "--dataset", "cityscapes", "--data-root", root, "--out", out]
    subprocess.run(line, env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "report.json").read_text())


def rows(report, result):
    for key, official_key, names in TABLES:
        for name in names:
            yield f"{key}: {name}", result[official_key][name], report[key][name]
    for key, official_key in MEANS:
        yield key, result[official_key], report[key]
    counts = np.array(result["confMatrix"])
    ids = [label.id for label in id2label.values() if label.id >= 0 and not label.ignoreInEval]
    yield "confusion (sum of differences)", 0.0, float(np.abs(counts[np.ix_(ids, ids)] - report["confusion"]).sum())


def difference(a, b):
    a, b = (math.nan if value is None else value for value in (a, b))
    if math.isnan(a) or math.isnan(b):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    return abs(a - b)


def show(value):
    return "-" if value is None or math.isnan(value) else f"{value:.12f}"


def polygons_agree(root):
    """Shares of pixels that the official tools paint out of *_polygons.json as *_labelIds.png and *_instanceIds.png have
    them; of the latter only whether it is an instance, as one that is hidden in part is several polygons."""
    label_hits = instance_hits = pixels = 0
    for path in sorted((root / "gtFine" / "val").glob("*/*_gtFine_polygons.json")):
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        stem = str(path).removesuffix("polygons.json")
        label = np.array(Image.open(stem + "labelIds.png"))
        instance = np.array(Image.open(stem + "instanceIds.png"))
        label_hits += np.count_nonzero(np.array(createLabelImage(annotation, "ids")) == label)
        instance_hits += np.count_nonzero((np.array(createInstanceImage(annotation, "ids")) > 1000) == (instance > 1000))
        pixels += label.size
    return label_hits / pixels, instance_hits / pixels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, default=HERE.parents[1] / "target" / "release", help="folder of segeval, segdata")
    args = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("cityscapesscripts", "numpy", "pillow"))
    print(f"official: {versions}, Python {sys.version.split()[0]}")
    worst = 0.0
    # Many pictures, and a single one in which classes and instances are missing.
    for count, resolution, seed in [(12, "512x1024", 7), (1, "64x128", 8)]:
        with tempfile.TemporaryDirectory() as folder:
            root, results, export, out = (Path(folder) / name for name in ("data", "results", "official", "ours"))
            line = ["synth", "--out", root, "--split", "val", "--count", count, "--resolution", resolution, "--seed", seed]
            subprocess.run([args.bin / "segdata", *map(str, line)], check=True, stdout=subprocess.DEVNULL)
            labels, instances = polygons_agree(root)
            if count > 1:
                add_void(root)
            predictions(root, results, np.random.default_rng(seed))
            export.mkdir()
            result = official(root, results, export)
            report = ours(args.bin / "segeval", root, results, out)
            print(f"\n{count} scenes of {resolution}\n{'':<32}{'official':>16}{'segeval':>16}{'difference':>12}")
            for name, theirs, mine in rows(report, result):
                apart = difference(theirs, mine)
                worst = max(worst, apart)
                print(f"{name:<32}{show(theirs):>16}{show(mine):>16}{apart:>12.1e}")
            print(f"polygons painted by the official tools: {labels:.4%} of label ids, {instances:.4%} of instances")
    print(f"\nlargest difference: {worst:.1e}")
    return worst > TOLERANCE


if __name__ == "__main__":
    sys.exit(main())
