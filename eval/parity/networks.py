"""DeepLabV3 on dilated ResNets and InfoPro's heads in torch.nn, from the papers; nothing here is read from the Rust code.

Residual blocks and stages of the deep networks, and one of the decode heads, are torchvision's. torchvision has no dilated BasicBlock and no v1c stem
(mmsegmentation has both); those are written out here. `names` of each part says which of its tensors carries which
canonical name of a weight file.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet
from torchvision.models.segmentation import deeplabv3

STAGES = {"resnet18": [2, 2, 2, 2], "resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3]}
EMBEDDING = 128


def conv_bn_relu(cin, cout, kernel, stride=1, dilation=1):
    """The unit that everything is built of; no bias, which the BatchNorm would take away again."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(cin, cout, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU())


def unit_names(name, conv, norm):
    """Names of a convolution and its BatchNorm."""
    return {
        f"{name}.conv.weight": conv.weight,
        f"{name}.norm.gamma": norm.weight,
        f"{name}.norm.beta": norm.bias,
        f"{name}.norm.running_mean": norm.running_mean,
        f"{name}.norm.running_var": norm.running_var,
    }


class Stem(nn.Module):
    """Stride 4: torchvision's 7x7, or v1c's three 3x3 of which the first two have half the channels."""

    def __init__(self, kind, channels):
        super().__init__()
        half = (channels + 1) // 2
        self.convs = nn.Sequential(
            *(
                [conv_bn_relu(3, channels, 7, 2)]
                if kind == "torchvision"
                else [conv_bn_relu(3, half, 3, 2), conv_bn_relu(half, half, 3), conv_bn_relu(half, channels, 3)]
            )
        )
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def forward(self, x):
        return self.pool(self.convs(x))

    def names(self):
        units = [unit_names(f"convs.{i}", conv[0], conv[1]) for i, conv in enumerate(self.convs)]
        return {name: tensor for unit in units for name, tensor in unit.items()}


class DilatedBasicBlock(nn.Module):
    """torchvision's BasicBlock, which refuses dilation, with mmsegmentation's: on the first convolution only."""

    expansion = 1

    def __init__(
        self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, dilation=1, norm_layer=nn.BatchNorm2d
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, dilation, dilation, bias=False)
        self.bn1 = norm_layer(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + identity)


def block_names(block):
    """Canonical names of a residual block."""
    last = 3 if hasattr(block, "conv3") else 2
    names = {}
    for i in range(1, last + 1):
        name = "last" if i == last else f"body.{i - 1}"
        names |= unit_names(name, getattr(block, f"conv{i}"), getattr(block, f"bn{i}"))
    if block.downsample is not None:
        names |= unit_names("shortcut", *block.downsample)
    return names


class Backbone(resnet.ResNet):
    """torchvision's stages (`_make_layer`: strides, dilations, projections) at any width."""

    def __init__(self, name, width, stem, output_stride):
        nn.Module.__init__(self)
        self._norm_layer = nn.BatchNorm2d
        self.groups, self.base_width, self.dilation = 1, 64, 1
        deep = name != "resnet18"
        planes = [max(1, int(64 * 2**stage * width / 4 + 0.5)) * 4 for stage in range(4)]
        self.inplanes = planes[0]
        stem_channels = planes[0]
        self.stem = Stem(stem, stem_channels)
        dilate = {8: [False, False, True, True], 16: [False, False, False, True]}[output_stride]
        self.stages = [
            self._make_layer(
                resnet.Bottleneck if deep else DilatedBasicBlock,
                planes[stage],
                STAGES[name][stage],
                stride=1 if stage == 0 else 2,
                dilate=dilate[stage],
            )
            for stage in range(4)
        ]
        self.channels = [stem_channels] + [planes[stage] * (4 if deep else 1) for stage in range(4)]

    def blocks(self):
        """(name, block, channels) in order."""
        blocks = [("stem", self.stem, self.channels[0])]
        for stage, layer in enumerate(self.stages, 1):
            blocks += [(f"layer{stage}.{i}", block, self.channels[stage]) for i, block in enumerate(layer)]
        return blocks


class Aspp(nn.Module):
    """mmsegmentation's ASPPHead: image pooling first, 3x3 bottleneck."""

    def __init__(self, cin, hidden, classes, rates):
        super().__init__()
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(cin, hidden, 1))
        self.branches = nn.ModuleList(
            [conv_bn_relu(cin, hidden, 1 if rate == 1 else 3, dilation=rate) for rate in rates]
        )
        self.bottleneck = conv_bn_relu(hidden * (len(rates) + 1), hidden, 3)
        self.classifier = nn.Conv2d(hidden, classes, 1)

    def forward(self, x):
        pooled = F.interpolate(self.image_pool(x), size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.classifier(self.bottleneck(torch.cat([pooled] + [branch(x) for branch in self.branches], dim=1)))

    def names(self):
        units = [("image_pool", self.image_pool[1]), ("bottleneck", self.bottleneck)]
        units += [(f"branches.{i}", branch) for i, branch in enumerate(self.branches)]
        names = {"classifier.weight": self.classifier.weight, "classifier.bias": self.classifier.bias}
        for name, unit in units:
            names |= unit_names(name, unit[0], unit[1])
        return names


class TorchvisionAspp(nn.Module):
    """torchvision's DeepLabHead at any width: its ASPP, then 3x3 and 1x1 convolutions."""

    def __init__(self, cin, hidden, classes, rates):
        super().__init__()
        assert rates[0] == 1, "torchvision always has the 1x1 branch"
        self.aspp = deeplabv3.ASPP(cin, rates[1:], hidden)
        self.aspp.project[3].p = 0.0
        self.bottleneck = conv_bn_relu(hidden, hidden, 3)
        self.classifier = nn.Conv2d(hidden, classes, 1)

    def forward(self, x):
        return self.classifier(self.bottleneck(self.aspp(x)))

    def names(self):
        *branches, pooling = self.aspp.convs
        units = [("image_pool", list(pooling)[1:]), ("project", self.aspp.project), ("bottleneck", self.bottleneck)]
        units += [(f"branches.{i}", branch) for i, branch in enumerate(branches)]
        names = {"classifier.weight": self.classifier.weight, "classifier.bias": self.classifier.bias}
        for name, unit in units:
            names |= unit_names(name, unit[0], unit[1])
        return names


class Fcn(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, 1x1: the auxiliary head, and the paper's local head."""

    def __init__(self, cin, hidden, outputs):
        super().__init__()
        self.conv = conv_bn_relu(cin, hidden, 3)
        self.classifier = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x):
        return self.classifier(self.conv(x))

    def names(self):
        names = unit_names("conv", self.conv[0], self.conv[1])
        return names | {"classifier.weight": self.classifier.weight, "classifier.bias": self.classifier.bias}


class Linear(nn.Conv2d):
    """The head of greedy training: one 1x1 convolution."""

    def __init__(self, cin, outputs):
        super().__init__(cin, outputs, 1)

    def names(self):
        return {"weight": self.weight, "bias": self.bias}


class Decoder(nn.Module):
    """The paper's w, up to its sigmoid: 1x1, then three times (bilinear x2, 3x3), align_corners throughout."""

    def __init__(self, cin, channels):
        super().__init__()
        self.squeeze = conv_bn_relu(cin, channels[0], 1)
        self.convs = nn.ModuleList([conv_bn_relu(a, b, 3) for a, b in zip(channels, channels[1:])])
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, x, size):
        # Behind stride 8 this is x2 each time. Elsewhere the first upsampling makes up for the difference.
        halved = [[-(-length // 2**n) for length in size] for n in range(len(self.convs), -1, -1)]
        x = self.squeeze(x)
        for layer, to in zip([*self.convs, self.last], halved):
            x = layer(F.interpolate(x, size=to, mode="bilinear", align_corners=True))
        return x

    def names(self):
        names = unit_names("squeeze", self.squeeze[0], self.squeeze[1])
        for i, conv in enumerate(self.convs):
            names |= unit_names(f"convs.{i}", conv[0], conv[1])
        return names | {"last.weight": self.last.weight, "last.bias": self.last.bias}
