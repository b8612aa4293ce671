"""A network cut into local modules, and its training, as the InfoPro paper describes them."""

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

import losses
from networks import (
    EMBEDDING,
    STAGES,
    Aspp,
    Backbone,
    Decoder,
    DilatedBasicBlock,
    Fcn,
    Linear,
    TorchvisionAspp,
    block_names,
)

# Means and standard deviations of the picture's colours, in units of 1 (the paper's are in units of 1/255).
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1) / 255
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1) / 255


def linear(first_last, index, num_modules):
    """lambda of local module `index`: linear from the first to the (K-1)-th."""
    first, last = first_last
    return first if num_modules <= 2 else first + (last - first) * index / (num_modules - 2)


class Module(nn.Module):
    """One local module: its blocks, its heads, and what it learns from."""

    def __init__(self, case, index, blocks, channels, aux_head, classes):
        super().__init__()
        model, local = case["model"], case["local"]
        self.index, self.local = index, local
        self.last = index + 1 == local["num_modules"]
        self.block_names = [name for name, _ in blocks]
        self.blocks = nn.ModuleList([block for _, block in blocks])
        self.aux_weight, self.aux_after, self.aux_head = model["aux_weight"], None, None
        self.decoder, self.head = None, None
        if self.last:
            last_of_layer3 = f"layer3.{STAGES[model['backbone']][2] - 1}"
            if aux_head is not None and last_of_layer3 in self.block_names:
                self.aux_after, self.aux_head = self.block_names.index(last_of_layer3), aux_head
            return
        self.recon_weight = linear(local["recon_weight"], index, local["num_modules"])
        self.task_weight = linear(local["task_weight"], index, local["num_modules"])
        outputs = classes if local["task_loss"] == "softmax" else EMBEDDING
        if local["method"] == "greedy":
            self.head = Linear(channels, outputs)
        else:
            self.head = Fcn(channels, local["head_channels"], outputs)
        if local["method"] == "infopro":
            self.decoder = Decoder(channels, local["decoder_channels"])

    def forward(self, x, label, picture):
        """Output (still attached), and the terms of the loss by name."""
        terms = {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.aux_after:
                terms["aux"] = losses.pixel_cross_entropy(self.aux_head(x), label, align_corners=False)
        if self.last:
            terms["decode"] = losses.pixel_cross_entropy(x, label, align_corners=False)
            terms["task"] = terms["decode"] + self.aux_weight * terms.get("aux", 0)
            terms["total"] = terms["task"]
            return x, terms
        scores = self.head(x)
        if self.local["task_loss"] == "softmax":
            terms["task"] = losses.pixel_cross_entropy(scores, label, align_corners=True)
        else:
            pixels, classes = losses.all_labelled_pixels(label, scores.shape[2:])
            embeddings = scores.permute(0, 2, 3, 1).reshape(-1, EMBEDDING)[pixels]
            terms["task"] = losses.supervised_contrast(embeddings, classes, self.local["contrast_temperature"])
        terms["total"] = self.task_weight * terms["task"]
        if self.decoder is not None:
            decoded = self.decoder(x, label.shape[1:])
            terms["reconstruction"] = losses.reconstruction(decoded, picture)
            terms["total"] = terms["total"] + self.recon_weight * terms["reconstruction"]
        return x, terms

    def names(self):
        """Canonical names of all its tensors."""
        parts = []
        for name, block in zip(self.block_names, self.blocks):
            parts.append((name, block.names() if hasattr(block, "names") else block_names(block)))
        parts += [("aux_head", self.aux_head.names())] if self.aux_head is not None else []
        parts += [(f"local{self.index + 1}.local_head", self.head.names())] if self.head is not None else []
        parts += [(f"local{self.index + 1}.recon_decoder", self.decoder.names())] if self.decoder is not None else []
        return {f"{part}.{name}": tensor for part, names in parts for name, tensor in names.items()}


def build(case, classes):
    """The local modules of a case."""
    model, local = case["model"], case["local"]
    backbone = Backbone(model["backbone"], model["width"], model["stem"], model["output_stride"])
    decode_head = {"mmsegmentation": Aspp, "torchvision": TorchvisionAspp}[model["decode_head"]]
    head = decode_head(backbone.channels[4], model["aspp_channels"], classes, model["atrous_rates"])
    aux_head = Fcn(backbone.channels[3], model["aux_channels"], classes) if model["aux_weight"] else None
    blocks = [*backbone.blocks(), ("head", head, classes)]
    cuts = local["cuts"]
    if cuts == "auto":
        paper = {("resnet101", 2): ["layer3.12"]}  # the only one that the paper names
        cuts = paper[model["backbone"], local["num_modules"]] if local["num_modules"] > 1 else []
    modules, start = [], 0
    names = [name for name, _, _ in blocks]
    for index, end in enumerate([names.index(cut) + 1 for cut in cuts] + [len(blocks)]):
        own = [(name, block) for name, block, _ in blocks[start:end]]
        modules.append(Module(case, index, own, blocks[end - 1][2], aux_head, classes))
        start = end
    assert len(modules) == local["num_modules"]
    return nn.ModuleList(modules)


def draw_weights(modules, generator):
    """Weights at random, such that no parameter is at a value that would hide a mistake (gamma 1, beta 0, ...)."""
    draw = lambda tensor, mean, std: torch.nn.init.normal_(tensor, mean, std, generator=generator)
    for layer in modules.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * layer.kernel_size[0] ** 2
            draw(layer.weight, 0.0, (2 / fan_out) ** 0.5)
            if layer.bias is not None:
                draw(layer.bias, 0.0, 0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in [(layer.weight, 0.5, 1.5), (layer.running_var, 0.5, 2.0)]:
                torch.nn.init.uniform_(tensor, low, high, generator=generator)
            draw(layer.bias, 0.0, 0.2)
            draw(layer.running_mean, 0.0, 0.2)
    # Residual branches that weigh less than their shortcut, as in a trained network: a hundred full-sized ones in a row
    # amplify rounding so much that float32 and float64 of the same program come apart.
    for block in modules.modules():
        if isinstance(block, (Bottleneck, DilatedBasicBlock)):
            (block.bn3 if isinstance(block, Bottleneck) else block.bn2).weight.data.mul_(0.25)


def named(modules):
    """All tensors by canonical name."""
    return {name: tensor for module in modules for name, tensor in module.names().items()}


def train(case, modules, batch, steps):
    """Trains; returns everything that is to be compared, by its name in the fixture."""
    dtype = next(modules.parameters()).dtype
    input, label = batch["input"].to(dtype), batch["label"].long()
    picture = batch["picture"].to(dtype) if "picture" in batch else (input * STD.to(dtype) + MEAN.to(dtype)).clamp(0, 1)
    optim = case["optim"]
    options = dict(lr=optim["lr"], momentum=optim["momentum"], weight_decay=optim["weight_decay"])
    options["nesterov"] = optim.get("nesterov", False)
    optimizers = [torch.optim.SGD(module.parameters(), **options) for module in modules]
    schedulers = [losses.scheduler(optimizer, optim, case["train"]["steps"]) for optimizer in optimizers]
    out = {}
    keep = lambda name, tensor: out.__setitem__(name, tensor.detach().clone())
    modules.train()
    for step in range(1, steps + 1):
        x = input
        for number, module in enumerate(modules, 1):
            optimizer, scheduler = optimizers[number - 1], schedulers[number - 1]
            optimizer.zero_grad()
            x, terms = module(x.detach(), label, picture)
            terms["total"].backward()
            for term, value in terms.items():
                if step == 1 or term in ("reconstruction", "task", "total"):
                    keep(f"loss/{step}/{number}/{term}", value.reshape(1))
            if step == 1:
                keep(f"output/{number}", x)
                for name, tensor in module.names().items():
                    if tensor.requires_grad:
                        keep(f"gradient/{name}", tensor.grad)
                    else:
                        keep(f"statistics/{name}", tensor)
            optimizer.step()
            scheduler.step()
    for name, tensor in named(modules).items():
        keep(f"after/{name}", tensor)
    modules.eval()
    with torch.no_grad():
        x = input
        for module in modules:
            for block in module.blocks:
                x = block(x)
    keep("evaluation", x)
    return out
