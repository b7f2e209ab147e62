"""PyTorch's side of benchmarks/train_speed.py for cyclegan: the same networks, batch and update, by PyTorch's own layers.

The step is that of the authors' program (github.com/junyanz/pytorch-CycleGAN-and-pix2pix): both generators by one Adam, then both
discriminators by another on what lies in two pools; as kgan does, it keeps averages of the generators. What may be chosen:

    norm=instance     nn.InstanceNorm2d and channels_last, as the program has it, or may be told to
    norm=group        nn.GroupNorm with a group for each channel, the same numbers, and plain NCHW: faster on CPUs
    together=True     what a network does with A and B, or with real and made images, in one pass, as kgan does

Keras pads a convolution of stride 2 by one row behind, PyTorch before and behind, of which the last is not used where sizes are even:
the same, upside down. So the generators here have kgan's kernels turned by half a turn, and make what kgan makes of an image turned.
"""
import copy
import json

import numpy as np

CHECKED = 2  # images that both sides translate before anything is timed


def hand_over(gan, source, folder):
    """Writes what PyTorch needs: weights, data, the update's numbers, and what kgan makes of some images."""
    arrays = {name: np.asarray(source.arrays[name][:4_000]) for name in ("input", "image")}
    shown = arrays["input"][:CHECKED].astype(np.float32) / 127.5 - 1
    weights = {f"{name} {i} {j}": value for name in gan.networks() for i, layer in enumerate(each for each in getattr(gan, name).layers
                                                                                           if each.weights)
               for j, value in enumerate(layer.get_weights())}
    np.savez(folder / "handed.npz", **arrays, **weights, shown=shown, made=gan.generator(shown),
             logits=gan.discriminator(gan.generator(shown)))
    config = gan.config
    told = {name: getattr(config, name) for name in ("batch_size", "ema_decay", "pool", "cycle_weight", "identity_weight", "beta_1",
                                                     "beta_2", "generator_learning_rate", "discriminator_learning_rate")}
    (folder / "handed.json").write_text(json.dumps(told))


def side(work, folder, options, take_turns):
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.manual_seed(0)
    told = json.loads((folder / "handed.json").read_text())
    with np.load(folder / "handed.npz") as file:
        handed = dict(file)
    layout = torch.channels_last if work["norm"] == "instance" else torch.contiguous_format

    def weights(name):
        """A network's weights, layer by layer, as torch has them: kernels [out, in, h, w], or [in, out, h, w] of a transposed one."""
        i = 0
        while f"{name} {i} 0" in handed:
            yield [torch.from_numpy(handed[f"{name} {i} {j}"]) for j in range(2) if f"{name} {i} {j}" in handed]
            i += 1

    def convolution(values, turn, **options):
        kernel = values[0].permute(3, 2, 0, 1)
        kernel = kernel.flip(2, 3) if turn else kernel
        kind = nn.ConvTranspose2d if "output_padding" in options else nn.Conv2d
        channels = kernel.shape[:2] if kind is nn.ConvTranspose2d else kernel.shape[1::-1]
        made = kind(*channels, kernel.shape[2], bias=len(values) > 1, **options)
        made.weight.data = kernel.contiguous()
        if len(values) > 1:
            made.bias.data = values[1]
        return made

    def norm(values):
        channels = len(values[0])
        made = nn.InstanceNorm2d(channels, eps=1e-5, affine=True) if work["norm"] == "instance" else nn.GroupNorm(channels, channels)
        made.weight.data, made.bias.data = values
        return made

    class Residual(nn.Module):
        def __init__(self, given):
            super().__init__()
            parts = []
            for i in range(2):
                parts += [nn.ReflectionPad2d(1), convolution(next(given), True), norm(next(given))] + [nn.ReLU(True)] * (not i)
            self.block = nn.Sequential(*parts)

        def forward(self, x):
            return x + self.block(x)

    def generator(name):
        found = list(weights(name))
        given, blocks = iter(found), (len(found) - 11) // 4  # 5 convolutions with norms, one without, 2 of each in a block
        parts = [nn.ReflectionPad2d(3), convolution(next(given), True), norm(next(given)), nn.ReLU(True)]
        for _ in range(2):
            parts += [convolution(next(given), True, stride=2, padding=1), norm(next(given)), nn.ReLU(True)]
        parts += [Residual(given) for _ in range(blocks)]
        for _ in range(2):
            parts += [convolution(next(given), True, stride=2, padding=1, output_padding=1), norm(next(given)), nn.ReLU(True)]
        parts += [nn.ReflectionPad2d(3), convolution(next(given), True), nn.Tanh()]
        return nn.Sequential(*parts).to(memory_format=layout)

    def discriminator(name):
        found = list(weights(name))
        parts = [convolution(found[0], False, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        for i in range(1, len(found) - 1, 2):
            last = i == len(found) - 3
            parts += [convolution(found[i], False, stride=1 if last else 2, padding=1), norm(found[i + 1]), nn.LeakyReLU(0.2, True)]
        return nn.Sequential(*parts, convolution(found[-1], False, padding=1)).to(memory_format=layout)

    g, f = generator("generator"), generator("inverse")
    d_b, d_a = discriminator("discriminator"), discriminator("inverse_discriminator")
    with torch.no_grad():
        made = g(torch.from_numpy(handed["shown"]).permute(0, 3, 1, 2).flip(2, 3)).flip(2, 3)
        for name, ours in (("made", made), ("logits", d_b(made))):
            ours = ours.permute(0, 2, 3, 1).reshape(handed[name].shape).numpy()
            if not np.abs(ours - handed[name]).max() < 1e-3:
                raise SystemExit(f"{name}: the networks differ by {np.abs(ours - handed[name]).max()}")

    averages, sides = [copy.deepcopy(each) for each in (g, f)], nn.ModuleList([d_b, d_a])
    both = nn.ModuleList([g, f])
    g_optimizer, d_optimizer = (
        torch.optim.Adam(networks.parameters(), float(str(rate).split(":")[1]) if isinstance(rate, str) else rate,
                         (told["beta_1"], told["beta_2"]), fused=True)
        for networks, rate in ((both, told["generator_learning_rate"]), (sides, told["discriminator_learning_rate"])))
    data = [torch.from_numpy(handed[name]) for name in ("input", "image")]
    count, pools = told["batch_size"], ([], [])

    def through(network, *sets):
        if work["together"]:
            return network(torch.cat(sets)).chunk(len(sets))
        return [network(each) for each in sets]

    def exchanged(pool, images):
        """As kgan.pool.Pool: the authors' ImagePool."""
        shown = []
        for image in images.detach():
            if len(pool) < told["pool"]:
                pool.append(image)
            elif torch.rand(()) > 0.5:
                i = int(torch.randint(len(pool), ()))
                image, pool[i] = pool[i], image
            shown.append(image)
        return torch.stack(shown)

    def square(logits, wanted):
        return ((logits - wanted) ** 2).mean()

    def train(steps):
        for _ in range(steps):
            a, b = (some[torch.randint(len(some), (count,))].permute(0, 3, 1, 2).float().contiguous(memory_format=layout) / 127.5 - 1
                    for some in data)
            sides.requires_grad_(False)
            (fake_b, same_b), (fake_a, same_a) = through(g, a, b), through(f, b, a)
            loss = square(d_b(fake_b), 1) + square(d_a(fake_a), 1)
            loss = loss + told["cycle_weight"] * (functional.l1_loss(f(fake_b), a) + functional.l1_loss(g(fake_a), b))
            own = functional.l1_loss(same_b, b) + functional.l1_loss(same_a, a)
            g_optimizer.zero_grad(set_to_none=True)
            (loss + told["identity_weight"] * told["cycle_weight"] * own).backward()
            g_optimizer.step()
            sides.requires_grad_(True)
            loss = 0
            for d, real, fake, pool in ((d_b, b, fake_b, pools[0]), (d_a, a, fake_a, pools[1])):
                on_real, on_fake = through(d, real, exchanged(pool, fake))
                loss = loss + (square(on_real, 1) + square(on_fake, 0)) / 2
            d_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            d_optimizer.step()
            if told["ema_decay"]:
                with torch.no_grad():
                    for average, network in zip(averages, (g, f)):
                        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - told["ema_decay"])

    take_turns(train, count)
