"""The network of a configuration file, cut into local modules, as one would train it in eager PyTorch.

The layers are those of ../parity, with which the Rust program agrees number by number. What parity leaves out because it
changes no number, or because no two programs draw the same ones, is put back here: dropout, ReLU in place, the sigmoid as
part of the loss.
"""

import copy
import sys
from pathlib import Path

import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet101

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
import losses
import networks
import training

CLASSES = 19
# That of K = 2 is the paper's.
DEFAULT_CUTS = {1: [], 2: ["layer3.12"], 4: ["layer1.2", "layer3.6", "layer3.14"]}


class LocalModule(training.Module):
    """Parity's module with another forward: it keeps nothing alive but what the backward needs."""

    def __init__(self, case, index, *parts):
        super().__init__(case, index, *parts)
        if not self.last:
            put_in_place(self.head)
            if isinstance(self.head, networks.Fcn):
                self.head.conv.append(nn.Dropout2d(case["model"]["dropout"]))
            self.decoder = None if self.recon_weight == 0 else self.decoder
        if self.decoder is not None:
            put_in_place(self.decoder)

    def forward(self, x, label, picture):
        """Detached output, and the loss to minimise."""
        aux = None
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.aux_after:
                aux = losses.pixel_cross_entropy(self.aux_head(x), label, align_corners=False)
        if self.last:
            loss = losses.pixel_cross_entropy(x, label, align_corners=False)
            return x.detach(), loss if aux is None else loss + self.aux_weight * aux
        loss = self.task_weight * losses.pixel_cross_entropy(self.head(x), label, align_corners=True)
        if self.decoder is not None:
            decoded = self.decoder(x, label.shape[1:])
            loss = loss + self.recon_weight * F.binary_cross_entropy_with_logits(decoded, picture)
        return x.detach(), loss


def put_in_place(module):
    """BatchNorm's backward needs its input, ReLU's its output: the tensor between them need not exist."""
    for layer in module.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = True


def own_blocks(case):
    """What the Rust program trains: [(name, block, channels)], and the auxiliary head."""
    model = case["model"]
    if model["decode_head"] != "mmsegmentation":
        raise SystemExit("model.decode_head is not mmsegmentation: for torchvision's network say --network torchvision")
    dropout = lambda: nn.Dropout2d(model["dropout"])
    backbone = networks.Backbone(model["backbone"], model["width"], model["stem"], model["output_stride"])
    head = networks.Aspp(backbone.channels[4], model["aspp_channels"], CLASSES, model["atrous_rates"])
    head.bottleneck.append(dropout())
    aux_head = None
    if model["aux_weight"]:
        aux_head = networks.Fcn(backbone.channels[3], model["aux_channels"], CLASSES)
        aux_head.conv.append(dropout())
    blocks = [*backbone.blocks(), ("head", head, CLASSES)]
    for part in [*(block for _, block, _ in blocks), aux_head]:
        if part is not None:
            put_in_place(part)
    return blocks, aux_head


def torchvision_blocks(case):
    """torchvision's DeepLabV3-ResNet101 as it is shipped."""
    case["model"]["backbone"] = "resnet101"
    model = deeplabv3_resnet101(weights=None, weights_backbone=None, aux_loss=True, num_classes=CLASSES)
    backbone = model.backbone
    blocks = [("stem", nn.Sequential(backbone.conv1, backbone.bn1, backbone.relu, backbone.maxpool), 64)]
    for stage in range(1, 5):
        for i, block in enumerate(backbone[f"layer{stage}"]):
            blocks.append((f"layer{stage}.{i}", block, 128 * 2**stage))
    blocks.append(("head", model.classifier, CLASSES))
    return blocks, model.aux_classifier if case["model"]["aux_weight"] else None


NETWORKS = {"infoseg": own_blocks, "torchvision": torchvision_blocks}


def resolve(cuts, names):
    """Indices of the blocks that the cuts come after; a stage's name stands for its last block."""
    ends = []
    for cut in cuts:
        found = [i for i, name in enumerate(names) if name == cut or name.startswith(cut + ".")]
        if not found:
            raise SystemExit(f"there is no block {cut} to cut after; blocks: {', '.join(names)}")
        ends.append(found[-1])
    if ends != sorted(set(ends)) or len(names) - 1 in ends:
        raise SystemExit(f"cuts {', '.join(cuts)}: name blocks before the head, each once, in network order")
    return ends


def build(config, network, cuts):
    """The local modules, and the names of the blocks after which they were cut."""
    case = copy.deepcopy(config)
    blocks, aux_head = NETWORKS[network](case)
    local = case["local"]
    if local["task_loss"] != "softmax":
        raise SystemExit("local.task_loss: only softmax is measured here")
    local["num_modules"] = len(cuts) + 1
    names = [name for name, _, _ in blocks]
    ends = resolve(cuts, names)
    modules, start = [], 0
    for index, last in enumerate([*ends, len(blocks) - 1]):
        own = [(name, block) for name, block, _ in blocks[start : last + 1]]
        modules.append(LocalModule(case, index, own, blocks[last][2], aux_head, CLASSES))
        start = last + 1
    return nn.ModuleList(modules), [names[end] for end in ends]
