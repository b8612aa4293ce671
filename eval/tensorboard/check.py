"""Reads the event files of a run with TensorBoard's own EventAccumulator and compares them with its log.

usage: pip install tensorboard; segtrain --tensorboard --out RUN …; python check.py RUN
"""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = Path(sys.argv[1])
lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
events.Reload()
tags = events.Tags()

compared = 0


def compare(tag, step, expected):
    """The scalar of `tag` at `step` must be what the log says, in float32."""
    global compared
    found = [event.value for event in events.Scalars(tag) if event.step == step]
    assert found, f"{tag}: nothing at step {step}"
    assert abs(found[-1] - expected) <= 1e-6 * max(1.0, abs(expected)), f"{tag} at {step}: {found[-1]}, not {expected}"
    compared += 1


for line in lines:
    if "losses" in line:
        compare("learning_rate", line["step"], line["lr"])
        for module in line["losses"]:
            for name, key in [("total_loss", "total"), ("task_loss", "task"), ("reconstruction_loss", "reconstruction")]:
                if module[key] is not None:
                    compare(f"module{module['module']}/{name}", line["step"], module[key])
    else:
        for key in ("miou", "miou_present", "pixel_accuracy", "top1", "top5"):
            if line.get(key) is not None:
                compare(f"val/{key}", line["step"], line[key])

evaluated = sorted({line["step"] for line in lines if "losses" not in line})
modules = max(module["module"] for line in lines if "losses" in line for module in line["losses"])
for module in range(1, modules + 1):
    histograms = events.Histograms(f"module{module}/output")
    assert [event.step for event in histograms] == evaluated, f"module {module}: histograms at other steps"
    for event in histograms:
        value = event.histogram_value
        assert value.num > 0 and abs(sum(value.bucket) - value.num) < 0.5, "buckets do not add up"
        assert value.min <= value.max and value.bucket_limit[-1] >= value.max
pictures = 0
for tag in tags["images"]:
    for event in events.Images(tag):
        assert event.encoded_image_string[:8] == b"\x89PNG\r\n\x1a\n" and event.width > 0 and event.height > 0
        pictures += 1
assert pictures or not any("miou" in line for line in lines), "no picture of a prediction"
print(f"{compared} scalars equal the log's, {modules} histograms a scoring, {pictures} pictures")
