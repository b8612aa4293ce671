"""Single operations with their gradients, and whole learning-rate curves, straight from PyTorch.

Every group `<operation>/<case>/` holds the inputs, a `probe` (the gradient of sum(probe * output) is taken), the `output`,
and `gradient/<input>` of each input that has one.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.functional import normalize

import losses


class Units:
    def __init__(self, seed, dtype):
        self.generator, self.dtype, self.out = torch.Generator().manual_seed(seed), dtype, {}

    def draw(self, *shape):
        """Drawn in float32, so that float64 sees the same numbers."""
        return torch.randn(*shape, generator=self.generator).to(self.dtype)

    def classes(self, high, *shape):
        return torch.randint(high, shape, generator=self.generator)

    def record(self, group, function, inputs, **given):
        """Runs `function` on `inputs`, keeps its output and the gradients."""
        inputs = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
        output = function(**inputs)
        output = output if output.shape else output.reshape(1)  # a loss
        probe = self.draw(*output.shape) if output.numel() > 1 else torch.ones_like(output)
        grads = torch.autograd.grad((output * probe).sum(), list(inputs.values()))
        tensors = dict(inputs) | given | {"output": output, "probe": probe}
        tensors |= {f"gradient/{name}": grad for name, grad in zip(inputs, grads)}
        for name, tensor in tensors.items():
            self.out[f"{group}/{name}"] = tensor.detach().to(self.dtype)


def convolutions(units):
    # channels in and out, kernel, stride, dilation, height, width
    for i, (cin, cout, kernel, stride, dilation, height, width) in enumerate(
        [(3, 8, 7, 2, 1, 33, 41), (6, 4, 1, 2, 1, 9, 12), (5, 7, 1, 1, 1, 9, 11), (4, 6, 3, 2, 1, 25, 30),
         (4, 6, 3, 1, 2, 13, 10), (3, 5, 3, 1, 12, 8, 9)]
    ):  # fmt: skip
        padding = dilation * (kernel // 2)
        units.record(
            f"conv2d/{i}",
            lambda input, weight: F.conv2d(input, weight, None, stride, padding, dilation),
            {"input": units.draw(2, cin, height, width), "weight": units.draw(cout, cin, kernel, kernel)},
            geometry=torch.tensor([stride, padding, dilation]),
        )


def batch_norms(units):
    """Two training passes (the running statistics then hold both), and one evaluation."""
    for case in ["plain", "relu", "add", "add_relu"]:
        norm = nn.BatchNorm2d(5).to(units.dtype)
        for tensor in [norm.weight, norm.bias, norm.running_mean]:
            tensor.data.copy_(units.draw(5))
        norm.running_var.copy_(units.draw(5) ** 2 + 0.5)
        before = {name: getattr(norm, name).clone() for name in ["running_mean", "running_var"]}
        inputs = {"input": units.draw(3, 5, 7, 9) * 2 + 1, "residual": units.draw(3, 5, 7, 9)}

        def act(x, residual):
            x = x + residual if "add" in case else x
            return F.relu(x) if "relu" in case else x

        def function(input, residual=None, gamma=None, beta=None):
            mean, var = before["running_mean"].clone(), before["running_var"].clone()
            return act(F.batch_norm(input, mean, var, gamma, beta, training=True, momentum=0.1, eps=1e-5), residual)

        given = before | {"evaluation": act(norm.eval()(inputs["input"]), inputs["residual"])}
        norm.train()
        for x in [inputs["input"], inputs["input"] * 0.5 - 1]:
            norm(x)
        given |= {"statistics/running_mean": norm.running_mean.clone(), "statistics/running_var": norm.running_var.clone()}
        if "add" not in case:
            del inputs["residual"]
        units.record(f"batch_norm/{case}", function, inputs | {"gamma": norm.weight, "beta": norm.bias}, **given)


def pools(units):
    for i, size in enumerate([(8, 12), (9, 13)]):
        units.record(
            f"max_pool/{i}", lambda input: F.max_pool2d(input, 3, stride=2, padding=1), {"input": units.draw(2, 3, *size)}
        )


def resizes(units):
    for corners, align_corners in [("aligned", True), ("unaligned", False)]:
        sizes = [((4, 5), (8, 10)), ((4, 5), (32, 40)), ((9, 13), (65, 97)), ((7, 3), (5, 11)), ((1, 1), (4, 6)), ((6, 6), (1, 1))]
        for i, (before, after) in enumerate(sizes):
            resize = lambda input: F.interpolate(input, size=after, mode="bilinear", align_corners=align_corners)
            units.record(f"resize/{corners}{i}", resize, {"input": units.draw(2, 3, *before)})


def cross_entropies(units):
    for corners, align_corners in [("aligned", True), ("unaligned", False)]:
        for i, (size, label_size) in enumerate([((5, 6), (5, 6)), ((5, 6), (40, 48)), ((6, 9), (41, 65))]):
            label = units.classes(7, 2, *label_size)
            label[:, :, ::5] = 255
            label[1, : label_size[0] // 2] = 255
            units.record(
                f"cross_entropy/{corners}{i}",
                lambda logits: losses.pixel_cross_entropy(logits, label, align_corners),
                {"logits": units.draw(2, 7, *size) * 3},
                label=label,
            )


def reconstructions(units):
    picture = torch.rand(2, 3, 9, 11, generator=units.generator).to(units.dtype)
    for case, target in [("colours", picture), ("black_and_white", picture.round())]:
        units.record(
            f"reconstruction/{case}",
            lambda logits: losses.reconstruction(logits, target),
            {"logits": units.draw(2, 3, 9, 11) * 3},
            picture=target,
        )


def contrasts(units):
    """Given pixels and classes; with classes of one member, two of them, and nothing but such classes."""
    for case, classes in [
        ("pairs", [0, 0, 1, 1, 2, 2]),
        ("one_alone", [0, 0, 0, 1, 2, 2, 2, 2]),
        ("two_alone", [3, 0, 5, 0, 0, 5, 5, 1]),
        ("all_alone", [0, 1, 2, 3]),
        ("one_class", [4, 4, 4, 4, 4]),
        ("many", (units.classes(6, 120) ** 2 // 5).tolist() + [18]),
    ]:
        batch, height, width = 2, 8, 9
        pixels = torch.randperm(batch * height * width, generator=units.generator)[: len(classes)]
        for temperature in [0.07, 0.5]:
            units.record(
                f"contrast/{case}_{temperature}",
                lambda embeddings: losses.supervised_contrast(
                    embeddings.permute(0, 2, 3, 1).reshape(-1, 16)[pixels], classes, temperature
                ),
                {"embeddings": units.draw(batch, 16, height, width)},
                pixels=pixels,
                classes=torch.tensor(classes),
                temperature=torch.tensor([temperature]),
            )


def schedules(units):
    """The rate of every step; `optim` holds lr, power, min_lr and warmup_steps."""
    for case, schedule, lr, power, min_lr, warmup in [
        ("poly", "poly", 0.01, 0.9, 0.0, 0),
        ("poly_floor", "poly", 0.01, 0.9, 1e-4, 0),
        ("poly_warm_up", "poly", 0.02, 2.0, 0.0, 7),
        ("cosine", "cosine", 0.05, 0.9, 1e-3, 0),
        ("cosine_warm_up", "cosine", 0.05, 0.9, 0.0, 10),
        ("constant_warm_up", "constant", 0.1, 0.9, 0.0, 5),
    ]:
        optim = dict(schedule=schedule, lr=lr, power=power, min_lr=min_lr, warmup_steps=warmup)
        record_schedule(units, case, optim)


def record_schedule(units, case, optim):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=optim["lr"])
    scheduler, rates = losses.scheduler(optimizer, optim, total_steps=40), []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    units.out[f"schedule/{case}/output"] = torch.tensor(rates, dtype=units.dtype)
    numbers = [optim[key] for key in ["lr", "power", "min_lr", "warmup_steps"]]
    units.out[f"schedule/{case}/optim"] = torch.tensor(numbers, dtype=units.dtype)


def step_schedules(units):
    """MultiStepLR: the same, with `milestones` (thousandths of the run) and `gamma`."""
    for case, milestones, gamma, warmup in [
        ("step", [0.5, 0.75], 0.1, 0),
        ("step_thrice", [0.3, 0.55, 0.7], 0.2, 0),
        ("step_warm_up", [0.1, 0.875], 0.5, 9),  # the first falls into the warm-up
    ]:
        optim = dict(schedule="step", lr=0.8, power=0.9, min_lr=0.0, warmup_steps=warmup, milestones=milestones, gamma=gamma)
        record_schedule(units, case, optim)
        # Whole numbers: shares that were rounded to float32 would lie a step later or earlier.
        units.out[f"schedule/{case}/milestones"] = torch.tensor([round(1000 * share) for share in milestones])
        units.out[f"schedule/{case}/gamma"] = torch.tensor([gamma], dtype=units.dtype)


def optimizers(units):
    """Weights after each of six steps with given gradients and rates."""
    for case, momentum, nesterov, decay in [
        ("plain", 0.0, False, 0.0),
        ("momentum", 0.9, False, 0.01),
        ("nesterov", 0.9, True, 0.0),
        ("nesterov_decay", 0.9, True, 0.01),
    ]:
        weight = units.draw(4, 3, 1, 1).requires_grad_()
        rates = torch.linspace(0.5, 0.1, 6, dtype=units.dtype)
        gradients, before, after = units.draw(6, 4, 3, 1, 1), weight.detach().clone(), []
        optimizer = torch.optim.SGD([weight], lr=1.0, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        for rate, gradient in zip(rates, gradients):
            optimizer.param_groups[0]["lr"] = rate.item()
            weight.grad = gradient.clone()
            optimizer.step()
            after.append(weight.detach().clone())
        optim = torch.tensor([momentum, nesterov, decay])
        tensors = dict(weight=before, rates=rates, gradients=gradients, optim=optim, output=torch.stack(after))
        units.out |= {f"sgd/{case}/{name}": tensor.to(units.dtype) for name, tensor in tensors.items()}


def grouped_convolutions(units):
    # channels in and out, groups, stride, dilation, height, width
    for i, (cin, cout, groups, stride, dilation, height, width) in enumerate(
        [(8, 8, 4, 1, 1, 5, 7), (12, 12, 4, 2, 1, 6, 7), (16, 16, 16, 2, 1, 4, 4), (8, 16, 2, 1, 1, 5, 4), (8, 8, 4, 1, 2, 6, 5)]
    ):
        units.record(
            f"grouped_conv2d/{i}",
            lambda input, weight: F.conv2d(input, weight, None, stride, dilation, dilation, groups),
            {"input": units.draw(2, cin, height, width), "weight": units.draw(cout, cin // groups, 3, 3)},
            geometry=torch.tensor([stride, dilation, groups]),
        )


def average_pools(units):
    """2x2 (of odd sizes the last row is left out), and over all of a picture."""
    for i, size in enumerate([(8, 12), (9, 13)]):
        units.record(f"avg_pool/{i}", lambda input: F.avg_pool2d(input, 2), {"input": units.draw(2, 3, *size)})
    units.record(
        "avg_pool/global", lambda input: F.adaptive_avg_pool2d(input, 1), {"input": units.draw(2, 5, 7, 6)}
    )


def dense_blocks(units):
    """Two layers of DenseNet-BC of growth 4 and a transition, in training; BatchNorm with gamma 1 and beta 0."""

    def unit(x, weight):
        x = F.relu(F.batch_norm(x, None, None, training=True))
        return F.conv2d(x, weight, padding=weight.shape[2] // 2)

    def function(input, squeeze0, grow0, squeeze1, grow1, half):
        for squeeze, grow in [(squeeze0, grow0), (squeeze1, grow1)]:
            input = torch.cat([input, unit(unit(input, squeeze), grow)], dim=1)
        return F.avg_pool2d(unit(input, half), 2)

    shapes = dict(input=(3, 6, 6, 8), squeeze0=(16, 6, 1, 1), grow0=(4, 16, 3, 3))
    shapes |= dict(squeeze1=(16, 10, 1, 1), grow1=(4, 16, 3, 3), half=(7, 14, 1, 1))
    units.record("dense/0", function, {name: units.draw(*shape) for name, shape in shapes.items()})


def normalizations(units):
    """Bytes to what the network sees."""
    for case, mean, std in [
        ("cifar", [125.3, 123.0, 113.9], [63.0, 62.1, 66.7]),
        ("imagenet", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        ("half", [127.5] * 3, [127.5] * 3),  # SVHN and STL-10: to [-1, 1]
    ]:
        picture = units.classes(256, 3, 6, 7).to(units.dtype)
        units.out[f"normalize/{case}/picture"] = picture
        units.out[f"normalize/{case}/output"] = normalize(picture, mean, std)


def run_groups(seed, dtype, groups):
    units = Units(seed, dtype)
    for group in groups:
        group(units)
    return units.out


def all_units(dtype):
    """Those of segmentation, and what classification adds, each by the name of its fixture."""
    first = [convolutions, batch_norms, pools, resizes, cross_entropies, reconstructions, contrasts, schedules]
    more = [grouped_convolutions, average_pools, dense_blocks, normalizations, step_schedules, optimizers]
    return {"units": run_groups(11, dtype, first), "class-units": run_groups(12, dtype, more)}
