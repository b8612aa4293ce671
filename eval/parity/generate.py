"""Writes the fixtures: `python generate.py`. Prints how far PyTorch's float32 is from its own float64, for comparison."""

import copy
import pathlib
import tomllib

import torch
from safetensors.torch import save_file

import classification
import drawn
import training
import units

HERE = pathlib.Path(__file__).parent
CLASSES = 7
STEPS = 3


def make_batch(case, generator):
    """A picture of noise over smooth colours; labels in blocks, with ignored ones, and a class of a single pixel."""
    height, width = (int(side) for side in case["train"]["resolution"].split("x"))
    count = case["train"]["batch_size"]
    picture = torch.rand(count, 3, height // 8 + 1, width // 8 + 1, generator=generator)
    picture = torch.nn.functional.interpolate(picture, size=(height, width), mode="bilinear", align_corners=True)
    brightness = torch.linspace(0.3, 1.0, count).view(count, 1, 1, 1)  # pooled features must differ, for BatchNorm over them
    picture = 0.8 * picture * brightness + 0.2 * torch.rand(count, 3, height, width, generator=generator)
    blocks = torch.randint(CLASSES - 2, (count, height // 16 + 1, width // 16 + 1), generator=generator)
    label = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :height, :width].clone()
    label[:, :, width // 2 : width // 2 + 5] = 255
    label[0, 0, 0] = CLASSES - 1  # at every feature size the only pixel of its class
    return {"input": (picture - training.MEAN) / training.STD, "label": label.float()}


def largest_error(ours, theirs):
    """Largest difference, relative to the largest magnitude in the tensor that is right."""
    difference, largest = (ours.double() - theirs).abs().max().item(), theirs.abs().max().item()
    return difference / largest if largest else difference


def kind(key):
    """Column of the table that a tensor's error goes into; None for what the comparison starts from."""
    for part, column in [("loss", "losses"), ("gradient", "gradients"), ("statistics", "statistics"), ("after", "updates")]:
        if part in key.split("/")[:-1]:
            return column
    return "outputs" if key.startswith("output/") or key.endswith(("/output", "evaluation")) else None


COLUMNS = ["outputs", "losses", "gradients", "statistics", "updates"]


def errors(single, double, before=None):
    """The largest error of each kind of result."""
    worst = dict.fromkeys(COLUMNS, 0.0)
    for key in double:
        if kind(key) == "updates":  # what the steps changed
            start = before[key.removeprefix("after/")].double()
            error = largest_error(single[key] - start, double[key] - start)
        elif kind(key):
            error = largest_error(single[key], double[key])
        else:
            continue
        worst[kind(key)] = max(worst[kind(key)], error)
    return worst


def print_row(name, worst):
    print(f"| {name} | " + " | ".join(f"{error:.0e}" if error else "" for error in worst.values()) + " |", flush=True)


class Kink(Exception):
    """The case's random numbers do not suit a comparison."""


def check(what, worst, **limits):
    for column, limit in limits.items():
        if worst[column] > limit:
            raise Kink(f"{what} changes {column} by {worst[column]:.0e}; try another seed")


def is_drawn(case):
    """Whether pictures and weights are drawn (`drawn.py`), and the fixture holds results alone: classification."""
    return case["data"]["dataset"] in classification.COLOURS


def run_case(case):
    """Everything that the fixture of a case holds, and PyTorch's own errors."""
    generator = torch.Generator().manual_seed(case["seed"])
    if is_drawn(case):
        modules, batch = classification.build(case), classification.make_batch(case)
    else:
        modules = training.build(case, CLASSES)
        training.draw_weights(modules, generator)
        batch = make_batch(case, generator)
    weights = {name: tensor.detach().clone() for name, tensor in training.named(modules).items()}
    run = lambda modules, batch: training.train(case, modules, batch, STEPS)
    twin = copy.deepcopy(modules).double()
    exact = run(copy.deepcopy(twin), batch)
    # A value so near to a kink of ReLU or max-pool that rounding decides on its side makes gradients differ by percents,
    # between any two programs. Such a batch says nothing: neither rounding nor larger nudges may do that here.
    single = run(modules, batch)
    worst = errors(single, exact, weights)
    check("rounding", worst, gradients=3e-4, updates=1e-3)
    for _ in range(4):
        noise = torch.randn(batch["input"].shape, generator=generator, dtype=torch.float64)
        nudged = batch | {"input": batch["input"] * (1 + 5e-7 * noise)}
        check("a nudge", errors(run(copy.deepcopy(twin), nudged), exact, weights), gradients=3e-4, updates=5e-3)
    if is_drawn(case):
        results = single | {"output/0": batch["input"]}
        return {name: drawn.thinned(tensor) for name, tensor in results.items()} | {"label": batch["label"]}, worst
    return batch | {f"weights/{name}": tensor for name, tensor in weights.items()} | single, worst


def write(name, tensors):
    path = HERE / "fixtures" / f"{name}.safetensors"
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, path)
    assert path.stat().st_size < 2_000_000, f"{path} is too large to be committed"


def joined(fixtures):
    return {key: tensor for tensors in fixtures.values() for key, tensor in tensors.items()}


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    (HERE / "fixtures").mkdir(exist_ok=True)
    print("PyTorch's float32 against its own float64\n")
    print("| | outputs | losses | gradients | running statistics | updates |\n|---|---|---|---|---|---|")
    fixtures = units.all_units(torch.float32)
    for name, tensors in fixtures.items():
        write(name, tensors)
    single, double = (joined(fixtures), joined(units.all_units(torch.float64)))
    for operation in dict.fromkeys(key.split("/")[0] for key in single):
        own = ({key: all[key] for key in all if key.startswith(operation + "/")} for all in (single, double))
        print_row(operation, errors(*own))
    for path in sorted((HERE / "cases").glob("*.toml")):
        try:
            tensors, worst = run_case(tomllib.loads(path.read_text()))
        except Kink as kink:
            raise SystemExit(f"{path}: {kink}")
        print_row(path.stem, worst)
        write(path.stem, tensors)


if __name__ == "__main__":
    main()
