"""Numbers that two programs draw alike, so that a fixture need not hold them: a hash of a name, a seed and a position.

Everything is exact in float64 and rounded to float32 once, at the end. `src/parity/drawn.rs` is the same in Rust.
"""

import math

import numpy as np
import torch


def uniform(name, seed, count):
    """`count` numbers of 24 bits in [-1, 1), float64."""
    start = 0x811C9DC5  # FNV-1a of seed and name
    for byte in f"{seed}/{name}".encode():
        start = (start ^ byte) * 0x01000193 % 2**32
    x = (np.arange(count, dtype=np.uint64) * 0x9E3779B9 + start) % 2**32
    for shift, factor in [(16, 0x85EBCA6B), (13, 0xC2B2AE35)]:  # MurmurHash3's last step
        x = (x ^ (x >> shift)) * factor % 2**32
    x = x ^ (x >> 16)
    return (x >> 8).astype(np.float64) / 2**23 - 1


def weight(name, shape, seed):
    """The weight of this canonical name; none has a value that would hide a mistake (gamma 1, beta 0, ...)."""
    values, last = uniform(name, seed, math.prod(shape)), name.split(".")[-1]
    if last == "weight":
        kernel = math.prod(shape[2:])
        values = values * math.sqrt(6 / (max(shape[0], shape[1]) * kernel))
    elif last == "gamma":
        # Residual branches that weigh less than their shortcut, as in a trained network.
        values = (0.75 + values / 4) * (0.25 if ".last." in name else 1)
    elif last == "beta" and ".last." not in name and ".shortcut." not in name:
        # Most values on one side of ReLU's kink: the fewer are at it, the fewer are put on either side by rounding.
        values = 1 + values / 2
    elif last == "running_var":
        values = 1.25 + 0.75 * values
    else:
        values = 0.25 * values
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def picture(batch, height, width, seed):
    """Bytes [batch, 3, height, width]: noise over blocks of one colour."""
    noise = uniform("noise", seed, batch * 3 * height * width).reshape(batch, 3, height, width)
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = uniform("colours", seed, batch * 3 * rows * columns).reshape(batch, 3, rows, columns)
    colours = blocks.repeat(8, 2).repeat(8, 3)[:, :, :height, :width]
    return torch.from_numpy(np.floor(127.5 + 127.5 * (0.75 * colours + 0.25 * noise)).astype(np.uint8))


def labels(batch):
    """Classes of the pictures: of five, one has a single picture and one has none."""
    return torch.tensor([0, 1, 0, 2, 1, 0, 3, 2][:batch])


def thinned(values, kept=96):
    """What a fixture keeps of a result: all, or so many numbers spread over all positions."""
    values = values.flatten()
    step = -(-values.numel() // kept)
    while math.gcd(step, values.numel()) > 1:  # else it would meet only some positions of a kernel, or some channels
        step += 1
    return values[::step]
