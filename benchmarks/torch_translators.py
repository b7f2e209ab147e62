"""PyTorch's side of benchmarks/train_speed.py for cyclegan and pix2pix: the same networks, batch and update, by PyTorch's own layers.

A step of cyclegan is that of the authors' program (github.com/junyanz/pytorch-CycleGAN-and-pix2pix): both generators by one Adam, then
both discriminators by another on what lies in two pools. One of pix2pix is D's, then G's on the same images. As kgan does, both keep
averages of the generators. What may be chosen:

    norm=instance     nn.InstanceNorm2d and channels_last, as the program has it, or may be told to
    norm=group        nn.GroupNorm with a group for each channel, the same numbers, and plain NCHW: faster on CPUs
    together=True     what a network of cyclegan does with A and B, or with real and made images, in one pass, as kgan does

Keras pads a convolution of stride 2 by one row behind, PyTorch before and behind, of which the last is not used where sizes are even:
the same, upside down. So cyclegan's generators here have kgan's kernels turned by half a turn, and make what kgan makes of an image turned.
"""
import copy
import json

import numpy as np

CHECKED = 2  # images that both sides translate before anything is timed


def hand_over(gan, source, folder):
    """Writes what PyTorch needs: weights, data, the update's numbers, and what kgan makes of some images."""
    arrays = {name: np.asarray(source.arrays[name][:4_000]) for name in ("input", "image")}
    shown, real = (arrays[name][:CHECKED].astype(np.float32) / 127.5 - 1 for name in ("input", "image"))
    weights = {f"{name} {i} {j}": value for name in gan.networks() for i, layer in enumerate(each for each in getattr(gan, name).layers
                                                                                           if each.weights)
               for j, value in enumerate(layer.get_weights())}
    np.savez(folder / "handed.npz", **arrays, **weights, shown=shown, real=real, made=gan.generator(shown),
             logits=gan.judge(real, {"input": shown}, training=False)["logits"])
    config = gan.config
    told = {name: getattr(config, name, 0) for name in (
        "batch_size", "ema_decay", "pool", "cycle_weight", "identity_weight", "content_weight", "discriminator_weight", "beta_1", "beta_2",
        "generator_learning_rate", "discriminator_learning_rate")}
    (folder / "handed.json").write_text(json.dumps(told))


class Parts:
    """What both models are built and trained with, of what kgan has handed over."""

    def __init__(self, work, folder, options):
        import torch

        torch.set_num_threads(options.threads)
        torch.set_flush_denormal(True)  # as TensorFlow does
        torch.manual_seed(0)
        self.told, self.norm_of = json.loads((folder / "handed.json").read_text()), work["norm"]
        with np.load(folder / "handed.npz") as file:
            self.handed = dict(file)
        self.layout = torch.channels_last if work["norm"] == "instance" else torch.contiguous_format
        self.data = [torch.from_numpy(self.handed[name]) for name in ("input", "image")]

    def weights(self, name):
        """A network's weights, layer by layer, as kgan has them."""
        import torch
        i = 0
        while f"{name} {i} 0" in self.handed:
            yield [torch.from_numpy(self.handed[f"{name} {i} {j}"]) for j in range(2) if f"{name} {i} {j}" in self.handed]
            i += 1

    def convolution(self, values, turn=False, transposed=False, **options):
        """Kernels are [out, in, h, w], or [in, out, h, w] of a transposed one; `turn`: by half a turn."""
        from torch import nn
        kernel = values[0].permute(3, 2, 0, 1)
        kernel = kernel.flip(2, 3) if turn else kernel
        kind, channels = (nn.ConvTranspose2d, kernel.shape[:2]) if transposed else (nn.Conv2d, kernel.shape[1::-1])
        made = kind(*channels, kernel.shape[2], bias=len(values) > 1, **options)
        made.weight.data = kernel.contiguous()
        if len(values) > 1:
            made.bias.data = values[1]
        return made

    def norm(self, values):
        from torch import nn
        channels = len(values[0])
        made = nn.InstanceNorm2d(channels, eps=1e-5, affine=True) if self.norm_of == "instance" else nn.GroupNorm(channels, channels)
        made.weight.data, made.bias.data = values
        return made

    def patches(self, name):
        """D of either model."""
        from torch import nn
        found = list(self.weights(name))
        parts = [self.convolution(found[0], stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        for i in range(1, len(found) - 1, 2):
            last = i == len(found) - 3
            parts += [self.convolution(found[i], stride=1 if last else 2, padding=1), self.norm(found[i + 1]), nn.LeakyReLU(0.2, True)]
        return nn.Sequential(*parts, self.convolution(found[-1], padding=1)).to(memory_format=self.layout)

    def adam(self, networks, player):
        import torch
        rate = self.told[f"{player}_learning_rate"]
        return torch.optim.Adam(networks.parameters(), float(rate.split(":")[1]) if isinstance(rate, str) else rate,
                                (self.told["beta_1"], self.told["beta_2"]), fused=True)

    def batch(self):
        """A and B, [n, C, H, W]."""
        import torch
        count = self.told["batch_size"]
        places = torch.randint(len(self.data[0]), (count,))
        for some in self.data:  # of pairs the i-th of both; cyclegan's have lengths of their own
            yield some[places % len(some)].permute(0, 3, 1, 2).float().contiguous(memory_format=self.layout) / 127.5 - 1

    def follow(self, averages, networks):
        import torch
        if self.told["ema_decay"]:
            with torch.no_grad():
                for average, network in zip(averages, networks):
                    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - self.told["ema_decay"])

    def shown(self, name):
        """Images [n, C, H, W] that kgan was shown."""
        import torch
        return torch.from_numpy(self.handed[name]).permute(0, 3, 1, 2)

    def check(self, **found):
        """That values [n, C, H, W] are kgan's of these names."""
        for name, ours in found.items():
            ours = ours.detach().permute(0, 2, 3, 1).reshape(self.handed[name].shape).numpy()
            if not np.abs(ours - self.handed[name]).max() < 1e-3:
                raise SystemExit(f"{name}: the networks differ by {np.abs(ours - self.handed[name]).max()}")


def side(work, folder, options, take_turns):
    parts = Parts(work, folder, options)
    take_turns({"cyclegan": cyclegan, "pix2pix": pix2pix}[work["model"]](parts, work.get("together")), parts.told["batch_size"])


def pix2pix(the, _):
    """A function that makes so many steps."""
    import torch
    from torch import nn
    from torch.nn.functional import l1_loss, softplus

    class UNet(nn.Module):
        def __init__(self, given):
            super().__init__()
            found = list(given)
            kernels = [i for i, values in enumerate(found) if len(values[0].shape) == 4]
            depth = len(kernels) // 2
            blocks = [found[i:j] for i, j in zip(kernels, [*kernels[1:], len(found)])]
            self.down = nn.ModuleList(self._block(block, False, i and nn.LeakyReLU(0.2)) for i, block in enumerate(blocks[:depth]))
            self.up = nn.ModuleList(self._block(block, True, nn.ReLU()) for block in blocks[depth:])

        def _block(self, block, transposed, before):
            norms = [the.norm(values) for values in block[1:]]
            return nn.Sequential(*[before] if before else [], the.convolution(block[0], transposed=transposed, stride=2, padding=1), *norms)

        def forward(self, x):
            maps = []
            for layer in self.down:
                maps.append(x := layer(x))
            x = self.up[0](maps.pop())
            for layer in self.up[1:]:
                x = layer(torch.cat([x, maps.pop()], 1))
            return torch.tanh(x)

    g, d = UNet(the.weights("generator")).to(memory_format=the.layout), the.patches("discriminator")
    with torch.no_grad():
        the.check(made=g(the.shown("shown")), logits=d(torch.cat([the.shown("shown"), the.shown("real")], 1)))
    averages, told = [copy.deepcopy(g)], the.told
    g_optimizer, d_optimizer = the.adam(g, "generator"), the.adam(d, "discriminator")

    def train(steps):
        for _ in range(steps):
            given, real = the.batch()
            fake = g(given)
            loss = softplus(-d(torch.cat([given, real], 1))).mean() + softplus(d(torch.cat([given, fake.detach()], 1))).mean()
            d_optimizer.zero_grad(set_to_none=True)
            (told["discriminator_weight"] * loss).backward()
            d_optimizer.step()
            d.requires_grad_(False)
            loss = softplus(-d(torch.cat([given, fake], 1))).mean() + told["content_weight"] * l1_loss(fake, real)
            g_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            g_optimizer.step()
            d.requires_grad_(True)
            the.follow(averages, [g])
    return train


def cyclegan(the, together):
    """A function that makes so many steps."""
    import torch
    from torch import nn
    from torch.nn.functional import l1_loss

    class Residual(nn.Module):
        def __init__(self, given):
            super().__init__()
            parts = []
            for i in range(2):
                parts += [nn.ReflectionPad2d(1), the.convolution(next(given), True), the.norm(next(given))] + [nn.ReLU(True)] * (not i)
            self.block = nn.Sequential(*parts)

        def forward(self, x):
            return x + self.block(x)

    def generator(name):
        found = list(the.weights(name))
        given, blocks = iter(found), (len(found) - 11) // 4  # 5 convolutions with norms, one without, 2 of each in a block
        parts = [nn.ReflectionPad2d(3), the.convolution(next(given), True), the.norm(next(given)), nn.ReLU(True)]
        for _ in range(2):
            parts += [the.convolution(next(given), True, stride=2, padding=1), the.norm(next(given)), nn.ReLU(True)]
        parts += [Residual(given) for _ in range(blocks)]
        for _ in range(2):
            parts += [the.convolution(next(given), True, True, stride=2, padding=1, output_padding=1), the.norm(next(given)), nn.ReLU(True)]
        parts += [nn.ReflectionPad2d(3), the.convolution(next(given), True), nn.Tanh()]
        return nn.Sequential(*parts).to(memory_format=the.layout)

    g, f = generator("generator"), generator("inverse")
    d_b, d_a = the.patches("discriminator"), the.patches("inverse_discriminator")
    with torch.no_grad():
        the.check(made=g(the.shown("shown").flip(2, 3)).flip(2, 3), logits=d_b(the.shown("real")))
    averages, both, sides = [copy.deepcopy(each) for each in (g, f)], nn.ModuleList([g, f]), nn.ModuleList([d_b, d_a])
    g_optimizer, d_optimizer = the.adam(both, "generator"), the.adam(sides, "discriminator")
    told, pools = the.told, ([], [])

    def through(network, *sets):
        return network(torch.cat(sets)).chunk(len(sets)) if together else [network(each) for each in sets]

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
            a, b = the.batch()
            sides.requires_grad_(False)
            (fake_b, same_b), (fake_a, same_a) = through(g, a, b), through(f, b, a)
            loss = square(d_b(fake_b), 1) + square(d_a(fake_a), 1)
            loss = loss + told["cycle_weight"] * (l1_loss(f(fake_b), a) + l1_loss(g(fake_a), b))
            loss = loss + told["identity_weight"] * told["cycle_weight"] * (l1_loss(same_b, b) + l1_loss(same_a, a))
            g_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            g_optimizer.step()
            sides.requires_grad_(True)
            loss = 0
            for d, real, fake, pool in ((d_b, b, fake_b, pools[0]), (d_a, a, fake_a, pools[1])):
                on_real, on_fake = through(d, real, exchanged(pool, fake))
                loss = loss + (square(on_real, 1) + square(on_fake, 0)) / 2
            d_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            d_optimizer.step()
            the.follow(averages, (g, f))
    return train
