"""Networks that classify, and their local modules, from the papers; nothing here is read from the Rust code.

ResNet-6n+2 (He et al. 2016, with 1x1 convolutions and BatchNorm where a shortcut changes shape) and ResNeXt are built of
torchvision's blocks by torchvision's `_make_layer`; DenseNet-BC (Huang et al. 2017), the heads and the decoder are written
out. `names` of each part says which of its tensors carries which canonical name of a weight file.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet

import drawn
import losses
import training
from networks import Decoder, Stem, block_names, conv_bn_relu, unit_names

CLASSES = 5
# Blocks of each stage: n of 6n + 2 layers, of 9n + 2 with bottlenecks.
CIFAR = {"resnet20": 3, "resnet32": 5, "resnet164": 18}
# The paper's cuts, after [stage, block], counted from [1, 0].
PAPER_CUTS = {("resnet32", 2): ["layer2.1"], ("resnet32", 3): ["layer1.4", "layer2.4"]}
# Means and standard deviations of the picture's colours, of 0..255.
COLOURS = {
    "cifar10": ([125.3, 123.0, 113.9], [63.0, 62.1, 66.7]),
    "imagenet": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
}


def scaled(channels, width):
    """Channels of a narrower network, a multiple of 4."""
    return max(1, int(channels * width / 4 + 0.5)) * 4


class CifarStem(nn.Module):
    """One 3x3 convolution; the size stays."""

    def __init__(self, channels):
        super().__init__()
        self.conv = conv_bn_relu(3, channels, 3)

    def forward(self, x):
        return self.conv(x)

    def names(self):
        return unit_names("convs.0", self.conv[0], self.conv[1])


class Stages(resnet.ResNet):
    """torchvision's stages (`_make_layer`: strides, projections, groups) at any width."""

    def __init__(self, block, counts, planes, groups=1, width_per_group=64):
        nn.Module.__init__(self)
        self._norm_layer, self.dilation = nn.BatchNorm2d, 1
        self.groups, self.base_width = groups, width_per_group
        self.inplanes = planes[0]
        self.stages = [
            self._make_layer(block, planes, count, stride=1 if i == 0 else 2)
            for i, (planes, count) in enumerate(zip(planes, counts))
        ]
        self.channels = [planes * block.expansion for planes in planes]

    def blocks(self):
        """(name, block, channels, how much smaller than the stage before the first) in order."""
        return [
            (f"layer{stage + 1}.{i}", block, self.channels[stage], 2**stage)
            for stage, layer in enumerate(self.stages)
            for i, block in enumerate(layer)
        ]


def norm_relu_conv(cin, cout, kernel):
    return nn.Sequential(
        nn.BatchNorm2d(cin), nn.ReLU(), nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=False)
    )


class DenseStem(nn.Module):
    """3x3 to twice the growth; the BatchNorm of the first layer follows."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)

    def forward(self, x):
        return self.conv(x)

    def names(self):
        return {"conv.weight": self.conv.weight}


class DenseLayer(nn.Module):
    """BatchNorm, ReLU, 1x1 to four times the growth; BatchNorm, ReLU, 3x3 to the growth; joined to the input."""

    def __init__(self, cin, growth):
        super().__init__()
        self.squeeze, self.grow = norm_relu_conv(cin, 4 * growth, 1), norm_relu_conv(4 * growth, growth, 3)

    def forward(self, x):
        return torch.cat([x, self.grow(self.squeeze(x))], dim=1)

    def names(self):
        units = [("squeeze", self.squeeze), ("grow", self.grow)]
        return {key: tensor for name, unit in units for key, tensor in unit_names(name, unit[2], unit[0]).items()}


class Transition(nn.Module):
    """BatchNorm, ReLU, 1x1 to half the channels (compression 0.5), average of 2x2."""

    def __init__(self, cin):
        super().__init__()
        self.squeeze = norm_relu_conv(cin, cin // 2, 1)

    def forward(self, x):
        return F.avg_pool2d(self.squeeze(x), 2)

    def names(self):
        return unit_names("squeeze", self.squeeze[2], self.squeeze[0])


def densenet(growth, layers=16):
    """(name, block, channels, how much smaller) of DenseNet-BC in order; (100 - 4) / 6 layers in each of three blocks."""
    channels, smaller = 2 * growth, 1
    blocks = [("stem", DenseStem(channels), channels, smaller)]
    for stage in (1, 2, 3):
        for i in range(layers):
            layer = DenseLayer(channels, growth)
            channels += growth
            blocks.append((f"dense{stage}.{i}", layer, channels, smaller))
        if stage < 3:
            transition = Transition(channels)
            channels, smaller = channels // 2, smaller * 2
            blocks.append((f"transition{stage}", transition, channels, smaller))
    return blocks


class ClassHead(nn.Module):
    """Global average, linear; a DenseNet's last BatchNorm and ReLU in front."""

    def __init__(self, cin, classes, norm):
        super().__init__()
        self.norm = nn.BatchNorm2d(cin) if norm else None
        self.classifier = nn.Linear(cin, classes)

    def forward(self, x):
        x = x if self.norm is None else F.relu(self.norm(x))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))

    def names(self):
        names = {"classifier.weight": self.classifier.weight, "classifier.bias": self.classifier.bias}
        if self.norm is not None:
            norm = unit_names("x", self.classifier, self.norm)
            names |= {name.removeprefix("x."): tensor for name, tensor in norm.items() if "norm" in name}
        return names


class PooledHead(nn.Module):
    """A local head `<a>c<b>f`: a 3x3 convolutions with BatchNorm and ReLU, global average, b linear layers, ReLU between.

    The first convolution doubles the channels, up to the network's most, and has stride 2 where the network itself will
    still get coarser. `imagenet`: 1x1, two of stride 2, 1x1, linear.
    """

    def __init__(self, kind, cin, most_channels, gets_coarser, widen, feature_dim, outputs):
        super().__init__()
        if kind == "imagenet":
            units, linears = [(128, 1, 1), (256, 3, 2), (512, 3, 2), (2048, 1, 1)], 1
        else:
            convs, linears = int(kind[0]), int(kind[2])
            wide = int(min(2 * cin, most_channels) * widen)
            units = [(wide, 3, 2 if gets_coarser and i == 0 else 1) for i in range(convs)]
        layers = []
        for cout, kernel, stride in units:
            layers.append(conv_bn_relu(cin, cout, kernel, stride))
            cin = cout
        self.convs = nn.Sequential(*layers)
        widths = [cin] + [int(feature_dim * widen)] * (linears - 1) + [outputs]
        self.linears = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths, widths[1:])])

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.convs(x), 1).flatten(1)
        for linear in self.linears[:-1]:
            x = F.relu(linear(x))
        return self.linears[-1](x)

    def names(self):
        names = {}
        for i, unit in enumerate(self.convs):
            names |= unit_names(f"convs.{i}", unit[0], unit[1])
        for i, linear in enumerate(self.linears):
            names |= {f"linears.{i}.weight": linear.weight, f"linears.{i}.bias": linear.bias}
        return names


class DirectDecoder(nn.Module):
    """Bilinear to the picture's size with align_corners, 3x3, BatchNorm, ReLU, 3x3 to the colours; the loss has a sigmoid."""

    def __init__(self, cin, channels):
        super().__init__()
        self.conv, self.last = conv_bn_relu(cin, channels, 3), nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x, size):
        return self.last(self.conv(F.interpolate(x, size=size, mode="bilinear", align_corners=True)))

    def names(self):
        names = unit_names("convs.0", self.conv[0], self.conv[1])
        return names | {"last.weight": self.last.weight, "last.bias": self.last.bias}


class Module(nn.Module):
    """One local module: its blocks, its heads, and what it learns from."""

    def __init__(self, case, index, blocks, features, most_channels, gets_coarser):
        super().__init__()
        local = case["local"]
        self.index, self.local = index, local
        self.last = index + 1 == local["num_modules"]
        self.block_names = [name for name, _ in blocks]
        self.blocks = nn.ModuleList([block for _, block in blocks])
        self.decoder = self.head = None
        if self.last:
            return
        self.recon_weight = training.linear(local["recon_weight"], index, local["num_modules"])
        self.task_weight = training.linear(local["task_weight"], index, local["num_modules"])
        outputs = CLASSES if local["task_loss"] == "softmax" else local["feature_dim"]
        kind = "0c1f" if local["method"] == "greedy" else local["head"]
        self.head = PooledHead(
            kind, features, most_channels, gets_coarser, local["widen"], local["feature_dim"], outputs
        )
        if local["method"] == "infopro" and self.recon_weight > 0:
            channels = local["decoder_channels"]
            direct = local["decoder"] == "direct"
            self.decoder = (
                DirectDecoder(features, int(channels[0] * local["widen"])) if direct else Decoder(features, channels)
            )

    def forward(self, x, label, picture):
        """Output (still attached), and the terms of the loss by name."""
        for block in self.blocks:
            x = block(x)
        if self.last:
            loss = F.cross_entropy(x, label)
            return x, {"decode": loss, "task": loss, "total": loss}
        scores = self.head(x)
        if self.local["task_loss"] == "softmax":
            terms = {"task": F.cross_entropy(scores, label)}
        else:
            terms = {"task": losses.supervised_contrast(scores, label, self.local["contrast_temperature"])}
        terms["total"] = self.task_weight * terms["task"]
        if self.decoder is not None:
            terms["reconstruction"] = losses.reconstruction(self.decoder(x, picture.shape[2:]), picture)
            terms["total"] = terms["total"] + self.recon_weight * terms["reconstruction"]
        return x, terms

    names = training.Module.names
    aux_head = None


def network(case):
    """(name, block, channels, how much smaller than the first features) in order."""
    name, width = case["model"]["backbone"], case["model"]["width"]
    if name.startswith("densenet"):
        blocks = densenet(scaled(12, width))
    elif name in CIFAR:
        planes = [scaled(16 * 2**stage, width) for stage in range(3)]
        block = resnet.Bottleneck if name == "resnet164" else resnet.BasicBlock
        stages = Stages(block, [CIFAR[name]] * 3, planes)
        blocks = [("stem", CifarStem(planes[0]), planes[0], 1), *stages.blocks()]
    else:
        assert name == "resnext50-32x4d"
        planes = [scaled(64 * 2**stage, width) for stage in range(4)]
        stages = Stages(resnet.Bottleneck, [3, 4, 6, 3], planes, groups=32, width_per_group=4)
        blocks = [("stem", Stem("torchvision", planes[0]), planes[0], 1), *stages.blocks()]
    head = ClassHead(blocks[-1][2], CLASSES, norm=name.startswith("densenet"))
    return blocks, head


def build(case):
    """The local modules of a case, with their weights."""
    local = case["local"]
    blocks, head = network(case)
    most_channels, smallest = max(block[2] for block in blocks), blocks[-1][3]
    names = [block[0] for block in blocks] + ["head"]
    cuts = local["cuts"]
    if cuts == "auto":
        cuts = PAPER_CUTS[case["model"]["backbone"], local["num_modules"]] if local["num_modules"] > 1 else []
    modules, start = [], 0
    for index, end in enumerate([names.index(cut) + 1 for cut in cuts] + [len(names)]):
        own = [(name, block) for name, block, _, _ in blocks[start:end]]
        if end == len(names):
            own.append(("head", head))
        _, _, channels, smaller = blocks[min(end, len(blocks)) - 1]
        modules.append(Module(case, index, own, channels, most_channels, smaller < smallest))
        start = end
    assert len(modules) == local["num_modules"]
    modules = nn.ModuleList(modules)
    for name, tensor in training.named(modules).items():
        tensor.data.copy_(drawn.weight(name, tuple(tensor.shape), case["seed"]))
    return modules


def make_batch(case):
    """Drawn pictures, their normalisation, and their classes."""
    train = case["train"]
    height, width = (int(side) for side in train["resolution"].split("x"))
    byte = drawn.picture(train["batch_size"], height, width, case["seed"])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in COLOURS[case["data"]["dataset"]])
    return {"input": (byte - mean) / std, "picture": byte / 255, "label": drawn.labels(train["batch_size"])}
