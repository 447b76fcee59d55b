"""ESeg written out equation by equation from the paper and the specification: slow, plain, in
float64, and without a line of the package. It reads a state dict and knows the layer names only.
"""

import math

import torch
import torch.nn.functional as F

# EfficientNet-B0: expansion, channels, repeats, stride, kernel.
B0 = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]


def batch_norm(x, weights, name, eps):
    mean = weights[f"{name}.running_mean"][None, :, None, None]
    variance = weights[f"{name}.running_var"][None, :, None, None]
    gamma = weights[f"{name}.weight"][None, :, None, None]
    beta = weights[f"{name}.bias"][None, :, None, None]
    return gamma * (x - mean) / torch.sqrt(variance + eps) + beta


def convolution(x, kernel, stride=1, groups=1, bias=None):
    """Cross-correlation with (k - 1) / 2 zeros on every side, as a sum over the kernel's taps."""
    out_channels, _, size, _ = kernel.shape
    pad = (size - 1) // 2
    height, width = (math.ceil(n / stride) for n in x.shape[-2:])
    padded = F.pad(x, (pad, pad + stride, pad, pad + stride))
    out = 0
    for dy in range(size):
        for dx in range(size):
            taps = padded[
                :, :, dy : dy + height * stride : stride, dx : dx + width * stride : stride
            ]
            if groups == 1:
                out = out + torch.einsum("oc,bchw->bohw", kernel[:, :, dy, dx], taps)
            else:  # depthwise
                out = out + kernel[:, 0, dy, dx][None, :, None, None] * taps
    if bias is not None:
        out = out + bias.view(1, out_channels, 1, 1)
    return out


def windows(x, fill):
    """The nine values of every 3x3 window at stride 2, padded by one: (9, b, c, h', w')."""
    height, width = (math.ceil(n / 2) for n in x.shape[-2:])
    padded = F.pad(x, (1, 2, 1, 2), value=fill)
    return torch.stack(
        [
            padded[:, :, dy : dy + 2 * height : 2, dx : dx + 2 * width : 2]
            for dy in range(3)
            for dx in range(3)
        ]
    )


def average_pool(x):
    inside = windows(torch.ones_like(x), 0.0).sum(0)
    return windows(x, 0.0).sum(0) / inside


def max_pool(x):
    return windows(x, -math.inf).amax(0)


def nearest(x, size):
    rows = torch.arange(size[0]) * x.shape[-2] // size[0]
    columns = torch.arange(size[1]) * x.shape[-1] // size[1]
    return x[..., rows, :][..., columns]


def bilinear(x, size):
    """Half-pixel centres: output i looks at input (i + 0.5) n / m - 0.5, clamped to the map."""
    for dim, target in ((-2, size[0]), (-1, size[1])):
        n = x.shape[dim]
        position = ((torch.arange(target, dtype=x.dtype) + 0.5) * n / target - 0.5).clamp(0, n - 1)
        low = position.floor().long()
        high = (low + 1).clamp(max=n - 1)
        share = position - low
        shape = [1, 1, 1, 1]
        shape[dim] = target
        share = share.view(shape)
        x = x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share
    return x


def round_channels(channels):
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def lite_encoder(image, weights, config):
    def block(x, name, stride, act=True):
        kernel = weights[f"{name}.0.weight"]
        x = batch_norm(convolution(x, kernel, stride), weights, f"{name}.1", config.norm_eps)
        return x.clamp(min=0) if act else x

    x = block(image, "encoder.stem", 2)
    maps, level, position = [], 0, 0
    for expansion, channels, repeats, stride, kernel in B0:
        if stride == 2:
            maps.append(x)
            level, position = level + 1, 0
        for repeat in range(math.ceil(repeats * config.depth)):
            name = f"encoder.levels.{level}.{position}.convs"
            step = stride if repeat == 0 else 1
            out = block(x, f"{name}.0", step)
            if expansion > 1:
                assert weights[f"{name}.0.0.weight"].shape[0] == expansion * x.shape[1]
                out = block(out, f"{name}.1", 1, act=False)
            assert weights[f"{name}.0.0.weight"].shape[-1] == kernel
            assert out.shape[1] == round_channels(channels * config.width)
            x = out + x if step == 1 and out.shape[1] == x.shape[1] else out
            position += 1
    maps.append(x)
    return maps[config.min_level - 1 :]


def node(inputs, weights, name, eps):
    w = weights[f"{name}.weighted_sum.weight"].clamp(min=0)
    x = sum(w[i] / (w.sum() + 1e-4) * value for i, value in enumerate(inputs))
    x = x.clamp(min=0)
    x = convolution(x, weights[f"{name}.conv.0.weight"], groups=x.shape[1])
    x = convolution(x, weights[f"{name}.conv.1.weight"])
    return batch_norm(x, weights, f"{name}.conv.2", eps)


def bifpn(maps, weights, config):
    eps = config.norm_eps
    lateral = []
    for i, x in enumerate(maps):
        x = convolution(x, weights[f"decoder.laterals.{i}.0.weight"])
        lateral.append(batch_norm(x, weights, f"decoder.laterals.{i}.1", eps))
    last = len(maps) - 1
    for repeat in range(config.repeats):
        layer = f"decoder.layers.{repeat}"
        top = {last: lateral[last]}
        for i in range(last - 1, -1, -1):
            coarser = nearest(top[i + 1], lateral[i].shape[-2:])
            top[i] = node([lateral[i], coarser], weights, f"{layer}.top_down.{i}", eps)
        out = [top[0]]
        for i in range(1, last + 1):
            finer = max_pool(out[i - 1])
            inputs = [lateral[i], finer] if i == last else [lateral[i], top[i], finer]
            out.append(node(inputs, weights, f"{layer}.bottom_up.{i - 1}", eps))
        lateral = out
    return lateral


def eseg(image, weights, config, mean, std):
    """Full-size logits of a Lite network with BiFPN, in evaluation mode."""
    mean, std = (torch.tensor(v, dtype=image.dtype)[None, :, None, None] for v in (mean, std))
    maps = lite_encoder((image - mean) / std, weights, config)
    for _ in range(config.max_level - 5):
        maps.append(average_pool(maps[-1]))
    maps = bifpn(maps, weights, config)
    w = torch.exp(weights["fusion.weighted_sum.weight"])
    fused = sum(w[i] / w.sum() * bilinear(x, maps[0].shape[-2:]) for i, x in enumerate(maps))
    x = convolution(fused, weights["head.0.0.weight"], groups=fused.shape[1])
    x = convolution(x, weights["head.0.1.weight"])
    x = batch_norm(x, weights, "head.0.2", config.norm_eps).clamp(min=0)
    logits = convolution(x, weights["head.1.weight"], bias=weights["head.1.bias"])
    return bilinear(logits, image.shape[-2:])
