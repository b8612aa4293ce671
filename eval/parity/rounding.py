"""How far TF32 takes a network from float32, in PyTorch on a CPU: convolutions round their operands to ten bits, forward and backward.

    python3 rounding.py            # of the cases that Rust compares on devices, the largest errors of each kind
    python3 rounding.py CASE...
"""

import sys
import tomllib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import grad

import training

HERE = Path(__file__).parent
CASES = ["resnet18-e2e", "resnet18-k2-softmax", "resnet18-k3-greedy", "resnet18-k4-contrast"]
CROP = (32, 48)  # as in src/parity/devices.rs


def rounded(x):
    """The nearest values with ten bits behind the point."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class RoundedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, *geometry):
        x, weight = rounded(x), rounded(weight)
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return torch.conv2d(x, weight, None, *geometry)

    @staticmethod
    def backward(ctx, gradient):
        (x, weight), gradient = ctx.saved_tensors, rounded(gradient)
        of_x = grad.conv2d_input(x.shape, weight, gradient, *ctx.geometry)
        of_weight = grad.conv2d_weight(x, weight.shape, gradient, *ctx.geometry)
        return of_x, of_weight, None, None, None, None


def rounded_forward(self, x, weight, bias):
    y = RoundedConvolution.apply(x, weight, self.stride, self.padding, self.dilation, self.groups)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def results(name, fixture, forward):
    nn.Conv2d._conv_forward = forward
    case = tomllib.loads((HERE / "cases" / f"{name}.toml").read_text())
    modules = training.build(case, fixture["evaluation"].shape[1])
    for tensor_name, tensor in training.named(modules).items():
        tensor.data.copy_(fixture[f"weights/{tensor_name}"].reshape(tensor.shape))
    height, width = CROP
    batch = {"input": fixture["input"][..., :height, :width], "label": fixture["label"][..., :height, :width]}
    return training.train(case, modules, batch, 3)


def main():
    exact = nn.Conv2d._conv_forward
    for name in sys.argv[1:] or CASES:
        fixture = load_file(HERE / "fixtures" / f"{name}.safetensors")
        right, other = (results(name, fixture, forward) for forward in (exact, rounded_forward))
        worst = {}
        for key, value in right.items():
            error = ((value - other[key]).norm() / value.norm().clamp_min(1e-30)).item()
            kind = key.split("/")[0]
            worst[kind] = max(worst.get(kind, (0.0, "")), (error, key))
        print(name, ", ".join(f"{kind} {error:.1e} ({key})" for kind, (error, key) in worst.items()))


if __name__ == "__main__":
    main()
