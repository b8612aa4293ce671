"""The terms of a local loss, and learning-rate schedules, from PyTorch's own pieces."""

import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler


def pixel_cross_entropy(logits, label, align_corners):
    """Cross-entropy of upsampled logits; 255 does not count."""
    full = F.interpolate(logits, size=label.shape[1:], mode="bilinear", align_corners=align_corners)
    return F.cross_entropy(full, label, ignore_index=255)


def reconstruction(logits, picture):
    """The paper's R: binary cross-entropy behind a sigmoid."""
    return F.binary_cross_entropy(torch.sigmoid(logits), picture)


def supervised_contrast(embeddings, classes, temperature):
    """Khosla et al. 2020, equation 2 (L_out), anchor by anchor; one without positives is no anchor."""
    z = F.normalize(embeddings, dim=1)
    classes = torch.as_tensor(classes)
    terms = []
    for i, similarity in enumerate((z @ z.T / temperature).unbind()):
        other = torch.arange(len(z)) != i
        positive = other & (classes == classes[i])
        if positive.any():
            terms.append(torch.logsumexp(similarity[other], dim=0) - similarity[positive].mean())
    return torch.stack(terms).mean() if terms else embeddings.sum() * 0


def all_labelled_pixels(label, size):
    """Indices into the flattened [batch, h, w], and classes, of every feature pixel whose nearest label is not 255."""
    small = F.interpolate(label[:, None].double(), size=size, mode="nearest").long().flatten()
    pixels = torch.nonzero(small != 255).flatten()
    return pixels, small[pixels]


def scheduler(optimizer, optim, total_steps):
    """PyTorch's own schedule for the [optim] section of a case, stepped once a training step."""
    warmup, floor = optim["warmup_steps"], optim["min_lr"]
    assert not (warmup and floor), "PyTorch's chained schedules multiply, so that a floor behind a warm-up is another curve"
    if optim["schedule"] == "cosine":
        main = lr_scheduler.CosineAnnealingLR(optimizer, total_steps, eta_min=floor)
    elif optim["schedule"] == "constant":
        main = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    elif optim["schedule"] == "step":
        milestones = [round(share * total_steps) for share in optim["milestones"]]
        main = lr_scheduler.MultiStepLR(optimizer, milestones, gamma=optim["gamma"])
    elif floor == 0:
        main = lr_scheduler.PolynomialLR(optimizer, total_steps, optim["power"])
    else:  # PolynomialLR has no floor; mmsegmentation's poly runs from lr to min_lr
        share = floor / optim["lr"]
        main = lr_scheduler.LambdaLR(optimizer, lambda t: (1 - share) * (1 - t / total_steps) ** optim["power"] + share)
    if not warmup:
        return main
    warm = lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    return lr_scheduler.ChainedScheduler([main, warm], optimizer)
