"""Weights in and out, against PyTorch and torchvision.

    cargo build --release
    python eval/weights/check.py                      # needs torch, torchvision, safetensors, pillow

Every direction is proven by logits of the same picture: what `segpredict --format logits` writes against what PyTorch
computes with the same file; test-time augmentation by the classes of the pixels. Out: a run's weights through `segexport` into torchvision's own class and into a network with
mmsegmentation's names, loaded strictly. In: torchvision's and mmsegmentation-named checkpoints through
`segpredict --pretrained`. Prints one line a comparison and fails above a
relative error of 1e-4, or where fewer than 99.9 % of the pixels are of one class (99 % where the picture is resized).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision.models import segmentation

REPO = Path(__file__).resolve().parents[2]
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
LIMIT = 1e-4


def picture(path):
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).float()
    return ((pixels - MEAN) / STD).unsqueeze(0)


class ConvModule(nn.Module):
    """mmcv's: `conv` without bias, `bn`, ReLU."""

    def __init__(self, cin, cout, kernel, dilation=1):
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(cin, cout, kernel, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class MmsegBackbone(nn.Module):
    """ResNet-50-v1c at output stride 8 under mmsegmentation's names, out of torchvision's blocks."""

    def __init__(self):
        super().__init__()
        net = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def forward(self, x):
        x = nn.functional.max_pool2d(self.stem(x), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class MmsegHead(nn.Module):
    """mmsegmentation's ASPPHead."""

    def __init__(self, cin, channels, classes):
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(cin, channels, 1))
        self.aspp_modules = nn.ModuleList(
            ConvModule(cin, channels, 1 if rate == 1 else 3, rate) for rate in (1, 12, 24, 36))
        self.bottleneck = ConvModule(5 * channels, channels, 3)

    def forward(self, x):
        pooled = self.image_pool(x).expand(-1, -1, *x.shape[2:])
        return self.conv_seg(self.bottleneck(torch.cat([pooled] + [m(x) for m in self.aspp_modules], 1)))


class MmsegAux(nn.Module):
    def __init__(self, cin, channels, classes):
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.convs = nn.Sequential(ConvModule(cin, channels, 3))


class Mmseg(nn.Module):
    """The reference's EncoderDecoder, its local heads included (`head_inter`, `decoder_inter`)."""

    def __init__(self, channels=512, aux=256, classes=19, head=512):
        super().__init__()
        self.backbone = MmsegBackbone()
        self.decode_head = MmsegHead(2048, channels, classes)
        self.auxiliary_head = MmsegAux(1024, aux, classes)
        self.head_inter = nn.Sequential(nn.Conv2d(1024, head, 3, 1, 1), nn.BatchNorm2d(head), nn.ReLU(), nn.Dropout2d(0.1),
                                        nn.Conv2d(head, classes, 1))
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.decoder_inter = nn.Sequential(
            nn.Conv2d(1024, 128, 1), nn.BatchNorm2d(128), nn.ReLU(), up,
            nn.Conv2d(128, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), up,
            nn.Conv2d(32, 12, 3, 1, 1), nn.BatchNorm2d(12), nn.ReLU(), up,
            nn.Conv2d(12, 3, 3, 1, 1), nn.Sigmoid())

    def forward(self, x):
        return self.decode_head(self.backbone(x))


def settle(network, x):
    """Weights and running statistics that no layer has at its start, so that a mix-up shows."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.cat([x, x.flip(3)]))
    return network.eval()


def resized(x, size):
    return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def test_time(scores, pixels, scales, flip, slide):
    """mmsegmentation's `aug_test`: mean over versions of the softmax of scores resized to the version, then the picture.

    `scores` maps a normalised picture to the network's output; `pixels [1, 3, h, w]` in 0..255.
    """
    height, width = pixels.shape[2:]
    mean, versions = 0, 0
    for scale in scales:
        size = [int(side * scale + 0.5) for side in (height, width)]
        scaled = resized(pixels, size).round() if size != [height, width] else pixels
        for mirrored in ([False, True] if flip else [False]):
            x = (scaled.flip(3) if mirrored else scaled).sub(MEAN).div(STD)
            if slide:
                window, stride = slide
                grids = [max(side - w + s - 1, 0) // s + 1 for side, w, s in zip(size, window, stride)]
                total, count = 0, torch.zeros(1, 1, *size)
                for row in range(grids[0]):
                    for column in range(grids[1]):
                        bottom, right = (min(i * s + w, side) for i, s, w, side in
                                         zip((row, column), stride, window, size))
                        top, left = max(bottom - window[0], 0), max(right - window[1], 0)
                        crop = x[:, :, top:bottom, left:right]
                        logits = resized(scores(crop), crop.shape[2:])
                        total = total + nn.functional.pad(logits, (left, size[1] - right, top, size[0] - bottom))
                        count[:, :, top:bottom, left:right] += 1
                logits = total / count
            else:
                logits = resized(scores(x), size)
            shares = resized(logits, (height, width)).softmax(1)
            mean, versions = mean + (shares.flip(3) if mirrored else shares), versions + 1
    return (mean / versions).argmax(1)[0]


class Check:
    def __init__(self, bin_folder, folder):
        self.bin, self.folder, self.failed = Path(bin_folder), folder, False

    def run(self, program, *args):
        line = [str(self.bin / program), *map(str, args)]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(line)}\n{done.stdout}{done.stderr}")
        return done.stderr.strip()

    def compare(self, what, ours, theirs):
        error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        self.failed |= not error < LIMIT
        print(f"{error:9.2e}  {what}")

    def predicted(self, name, *args):
        """Logits that segpredict writes of the picture."""
        self.run("segpredict", *args, self.picture, "--out", f"out-{name}", "--format", "logits", "--device", "cpu")
        return load_file(next((self.folder / f"out-{name}").glob("*_logits.safetensors")))["logits"]

    def same_classes(self, what, theirs, *args):
        """Share of pixels that segpredict gives the same class as PyTorch."""
        out = "out-" + "-".join(args).strip("-").replace("/", "_")
        self.run("segpredict", *args, self.picture, "--out", out, "--format", "train-ids", "--device", "cpu")
        ours = torch.from_numpy(np.array(Image.open(next((self.folder / out).glob("*_labelTrainIds.png")))))
        share = (ours == theirs).float().mean().item()
        # The bytes of a resized picture round differently here and there, and an untrained network is sensitive.
        self.failed |= share < (0.99 if "--scales" in what else 0.999)
        print(f"{100 * share:8.3f} %  {what}")

    def network(self, name, extra):
        """A run of one step at full width."""
        settings = ["model.width=1.0", "model.aspp_channels=256", "model.aux_channels=256",
                    "model.atrous_rates=[1,12,24,36]", "train.overlays=0", "data.synthetic_count=[2,1]",
                    "data.synthetic_resolution=64x128", *extra]
        self.run("segtrain", "--backbone", "resnet50", "--resolution", "64x128", "--batch-size", "2", "--steps", "1",
                 "--device", "cpu", "--out", name, *(part for s in settings for part in ("--set", s)))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin", default=REPO / "target" / "release", help="folder of the built programs")
    args = arguments.parse_args()
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}; largest relative error of the logits:")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        check = Check(args.bin, Path(folder))
        check.run("segdata", "synth", "--out", "data", "--count", "1", "--resolution", "96x160")
        check.picture = next((Path(folder) / "data" / "leftImg8bit").rglob("*.png"))
        x = picture(check.picture)

        check.network("tv", ["model.stem=torchvision", "model.decode_head=torchvision", "local.num_modules=1"])
        check.run("segexport", "tv", "--format", "torchvision", "--out", "tv.safetensors")
        model = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=19, aux_loss=True).eval()
        model.load_state_dict(load_file(Path(folder) / "tv.safetensors"), strict=True)
        theirs = model.classifier(model.backbone(x)["out"])[0]
        check.compare("segexport --format torchvision, deeplabv3_resnet50 loads it strictly",
                      check.predicted("tv", "tv"), theirs)

        check.network("mm", ["model.stem=v1c", "local.num_modules=2", "local.cuts=[\"layer3.2\"]",
                             "local.head_channels=512", "local.decoder_channels=[128,32,12]", "model.aspp_channels=512"])
        check.run("segexport", "mm", "--format", "mmseg", "--out", "mm.safetensors")
        model = Mmseg().eval()
        model.load_state_dict(load_file(Path(folder) / "mm.safetensors"), strict=True)
        check.compare("segexport --format mmseg of a K = 2 run, the reference's network loads it strictly",
                      check.predicted("mm", "mm"), model(x)[0])

        for name in ("deeplabv3_resnet50", "deeplabv3_resnet101"):
            torch.manual_seed(0)
            make = getattr(segmentation, name)
            model = make(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
            settle(model, x)
            torch.save(model.state_dict(), Path(folder) / "in.pth")
            theirs = model.classifier(model.backbone(x)["out"])[0]
            ours = check.predicted(name, "--pretrained", "in.pth", "--network", "deeplabv3")
            check.compare(f"segpredict --pretrained, torchvision {name}, 21 classes, .pth", ours, theirs)

            if name == "deeplabv3_resnet50":
                pixels = torch.from_numpy(np.array(Image.open(check.picture).convert("RGB"))).permute(2, 0, 1)[None].float()
                scores = lambda x: model.classifier(model.backbone(x)["out"])
                for what, scales, flip, slide in [
                    ("plain", [1.0], False, None),
                    ("mirrored as well", [1.0], True, None),
                    ("--scales 0.5,1,1.75 --flip", [0.5, 1.0, 1.75], True, None),
                    ("--slide 64x64 --stride 40x40", [1.0], False, ((64, 64), (40, 40))),
                ]:
                    flags = ["--scales", ",".join(map(str, scales))] + ["--flip"] * flip
                    if slide:
                        flags += [part for flag, size in zip(("--slide", "--stride"), slide)
                                  for part in (flag, "x".join(map(str, size)))]
                    theirs = test_time(scores, pixels, scales, flip, slide)
                    check.same_classes(f"of the pixels are of the same class: {what}", theirs, "--pretrained", "in.pth", *flags)

        torch.manual_seed(0)
        model = settle(Mmseg(), x)
        torch.save({"state_dict": model.state_dict(), "meta": {"epoch": 3}}, Path(folder) / "mm.pth",
                   _use_new_zipfile_serialization=False)
        ours = check.predicted("mmin", "--pretrained", "mm.pth")
        check.compare("segpredict --pretrained, mmsegmentation names, v1c, legacy .pth with state_dict", ours, model(x)[0])

        half = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
        torch.save(half, Path(folder) / "half.pth")
        model.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in half.items()})
        ours = check.predicted("half", "--pretrained", "half.pth")
        check.compare("the same in float16", ours, model(x)[0])

        backbone = torchvision.models.resnet50(weights=None)
        torch.save(backbone.state_dict(), Path(folder) / "resnet50.pth")
        said = check.run("segtrain", "--backbone", "resnet50", "--resolution", "64x128", "--steps", "1", "--batch-size", "1",
                         "--set", "model.width=1.0", "--set", "data.synthetic_count=[1,1]", "--set", "train.overlays=0",
                         "--set", "data.synthetic_resolution=64x128", "--pretrained", "resnet50.pth", "--out", "pre")
        print("segtrain --pretrained, torchvision resnet50:\n  " + next(l for l in said.splitlines() if "naming" in l))
    sys.exit("above the limit" if check.failed else 0)


if __name__ == "__main__":
    main()
