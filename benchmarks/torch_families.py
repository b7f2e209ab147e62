"""PyTorch's side of benchmarks/train_speed.py for srgan, gan3d, segan and seqgan: the same networks, batch and update.

Of srgan it is SRResNet's phase, G alone by the difference of pixels; of seqgan imitation, an LSTM by cross-entropy. All keep the averaged
generator where kgan does. What is made of the data while they are read, small pictures and noisy sounds, PyTorch has ready in
memory; kgan's pipeline makes it anew for each batch. PyTorch has channels_last of images, sounds as images one pixel high, and
plain NCDHW of voxels, of which other layouts have not been compared; nn.LSTM, clip_grad_norm_, all in as few calls as there are.
"""
import copy
import json
import math

import numpy as np

SHOWN, KEPT = 2, 2_000  # examples that both sides must agree on before anything is timed; examples that PyTorch trains on


def hand_over(gan, source, folder):
    """Writes what PyTorch needs: weights, data, the update's numbers, and what kgan's networks make of some examples."""
    data = {f"data {name}": np.asarray(source.arrays[name][:KEPT]) for name in ("input", gan.key) if name in source.arrays}
    weights = {f"{name} {i} {j}": value for name in ("generator", "discriminator")
               for i, layer in enumerate(each for each in getattr(gan, name).layers if each.weights)
               for j, value in enumerate(layer.get_weights())}
    real = source.examples(np.arange(SHOWN))
    given = source.given(np.arange(SHOWN), [name for name in ("input",) if name in gan.fields])
    checked = {"real": real, **{f"given {name}": values for name, values in given.items()}}
    if gan.kind == "image":
        from kgan.models.srgan import _weights  # of bicubic interpolation
        checked["bicubic"] = _weights(gan.fields["image"].shape[0] // gan.fields["input"].shape[0])
    if hasattr(gan, "writer"):
        checked["logits"] = gan.writer.logits(real.astype(np.int32))
    else:
        noise = gan.latents(SHOWN, seed=1) if gan.config.noise_dim else np.zeros([SHOWN, 1], np.float32)
        made = gan.make(noise, given, gan.generator)
        checked.update(noise=noise, made=made, logits=gan.judge(real, given, training=False)["logits"])
    np.savez(folder / "handed.npz", **data, **weights, **checked)
    config = gan.config
    told = {name: getattr(config, name, 0) for name in (
        "batch_size", "noise_dim", "ema_decay", "content_weight", "rest", "emphasis", "strides", "taps", "beta_1", "beta_2", "units",
        "global_clipnorm", "generator_learning_rate", "discriminator_learning_rate")}
    told["shape"] = gan.fields[gan.key].shape
    (folder / "handed.json").write_text(json.dumps(told))


class Parts:
    """What all are built and trained with, of what kgan has handed over."""

    def __init__(self, folder, options):
        import torch

        torch.set_num_threads(options.threads)
        torch.set_flush_denormal(True)  # as TensorFlow does
        torch.manual_seed(0)
        self.told = json.loads((folder / "handed.json").read_text())
        with np.load(folder / "handed.npz") as file:
            self.handed = {name: torch.from_numpy(value) for name, value in file.items()}
        self.data = [value for name, value in self.handed.items() if name.startswith("data ")]

    def weights(self, name):
        """A network's weights, layer by layer, as kgan has them."""
        i = 0
        while f"{name} {i} 0" in self.handed:
            yield [self.handed[f"{name} {i} {j}"] for j in range(6) if f"{name} {i} {j}" in self.handed]
            i += 1

    def adam(self, network, player):
        import torch
        rate = self.told[f"{player}_learning_rate"]
        return torch.optim.Adam((each for each in network.parameters() if each.requires_grad),
                                float(rate.split(":")[1]) if isinstance(rate, str) else rate, (self.told["beta_1"], self.told["beta_2"]),
                                fused=True)

    def batch(self):
        """Stored examples, of each field that there is."""
        import torch
        places = torch.randint(len(self.data[0]), (self.told["batch_size"],))
        return [some[places] for some in self.data]

    def update(self, optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def follower(self, network):
        """A function that moves the average of a network; the average itself is kept in it."""
        import torch
        average, decay = copy.deepcopy(network), self.told["ema_decay"]

        def follow():
            if decay:
                with torch.no_grad():
                    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        return follow

    def check(self, **found):
        """That values are kgan's of these names."""
        for name, ours in found.items():
            far = (ours.detach().reshape(self.handed[name].shape) - self.handed[name]).abs().max()
            if not far < 1e-3:
                raise SystemExit(f"{name}: the networks differ by {far}")


def side(work, folder, options, take_turns):
    parts = Parts(folder, options)
    train = {"srgan": srgan, "gan3d": gan3d, "segan": segan, "seqgan": seqgan}[work["model"]](parts)
    take_turns(train, parts.told["batch_size"])


def linear(values):
    from torch import nn
    made = nn.Linear(*values[0].shape, bias=len(values) > 1)
    made.weight.data = values[0].T.contiguous()
    if len(values) > 1:
        made.bias.data = values[1]
    return made


def convolution(kind, kernel, bias=None, **options):
    """A layer of PyTorch's class `kind` with a kernel as PyTorch has it: [out, in, …], [in, out, …] of a transposed one."""
    out, into = kernel.shape[:2][::-1 if "Transpose" in kind.__name__ else 1]
    made = kind(into, out, tuple(kernel.shape[2:]), bias=bias is not None, **options)
    made.weight.data = kernel.contiguous()
    if bias is not None:
        made.bias.data = bias
    return made


# === Each a function of Parts that returns a function that makes so many steps ===

def srgan(the):
    import torch
    from torch import nn
    from torch.nn.functional import conv2d, pixel_shuffle, relu

    given = list(the.weights("generator"))
    channels = the.told["shape"][2]
    scale = the.told["shape"][0] // the.data[0].shape[1]

    def conv(values, order=slice(None)):
        return convolution(nn.Conv2d, values[0].permute(3, 2, 0, 1)[order], values[1][order], padding=1)

    class SRResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, *inner, self.middle = map(conv, given[:-1])
            self.blocks = nn.ModuleList(inner)
            # TensorFlow has the channel last within each group of scale² maps, PyTorch first
            order = torch.arange(scale**2 * channels).reshape(scale**2, channels).T.flatten()
            self.last = conv(given[-1], order)
            kernel = torch.einsum("pi,qj->pqij", the.handed["bicubic"], the.handed["bicubic"]).reshape(scale**2, 1, 5, 5)
            self.register_buffer("kernel", kernel.repeat(channels, 1, 1, 1))

        def bicubic(self, x):
            for axis in (2, 3):
                size = x.shape[axis]
                places = torch.arange(-2, size + 2) % (2 * size)
                x = x.index_select(axis, torch.where(places < size, places, 2 * size - 1 - places))
            return pixel_shuffle(conv2d(x, self.kernel, groups=channels), scale)

        def forward(self, image):
            x = first = relu(self.first(image))
            for one, other in zip(self.blocks[::2], self.blocks[1::2]):
                x = x + other(relu(one(x)))
            return pixel_shuffle(self.last(first + self.middle(x)), scale) + self.bicubic(image)

    def seen(images):
        return images.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last) / 127.5 - 1

    g = SRResNet().to(memory_format=torch.channels_last)
    with torch.no_grad():
        the.check(made=g(the.handed["given input"].permute(0, 3, 1, 2)).clip(-1, 1).permute(0, 2, 3, 1))
    optimizer, follow = the.adam(g, "generator"), the.follower(g)

    def train(steps):
        for _ in range(steps):
            small, real = map(seen, the.batch())
            the.update(optimizer, the.told["content_weight"] * ((real - g(small)) ** 2).mean())
            follow()
    return train


def gan3d(the):
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    class Maps(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.width = width

        def forward(self, x):
            side = round((x.shape[1] // self.width) ** (1 / 3))
            return x.reshape(-1, side, side, side, self.width).permute(0, 4, 1, 2, 3).contiguous()

    class Flat(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 4, 1).flatten(1)

    def norm(values):
        made = nn.BatchNorm3d(len(values[0]), eps=1e-5, momentum=0.1)
        made.weight.data, made.bias.data, made.running_mean, made.running_var = values
        return made

    def conv(kind, values):
        return convolution(kind, values[0].permute(4, 3, 0, 1, 2), *values[1:], stride=2, padding=1)

    first, batch_norm, *rest = the.weights("generator")
    parts = [linear(first), Maps(len(batch_norm[0])), norm(batch_norm), nn.ReLU(True)]
    for values in rest:
        parts += [conv(nn.ConvTranspose3d, values)] if len(values[0].shape) == 5 else [norm(values), nn.ReLU(True)]
    g = nn.Sequential(*parts, nn.Sigmoid())
    *rest, last = the.weights("discriminator")
    parts = []
    for i, values in enumerate(rest):
        parts += [conv(nn.Conv3d, values)] if len(values[0].shape) == 5 else [norm(values)]
        parts += [nn.LeakyReLU(0.2, True)] if i == 0 or len(values[0].shape) == 1 else []
    d = nn.Sequential(*parts, Flat(), linear(last))

    with torch.no_grad():
        g.eval(), d.eval()
        the.check(made=g(the.handed["noise"]).permute(0, 2, 3, 4, 1), logits=d(the.handed["real"].permute(0, 4, 1, 2, 3)))
        g.train(), d.train()
    follow, g_optimizer, d_optimizer = the.follower(g), the.adam(g, "generator"), the.adam(d, "discriminator")

    def train(steps):
        for _ in range(steps):
            real, = the.batch()
            real = real.permute(0, 4, 1, 2, 3).float()
            fake = g(torch.randn(len(real), the.told["noise_dim"]))
            on_real, on_fake = d(real), d(fake.detach())
            if ((on_real > 0).float().mean() + (on_fake < 0).float().mean()) / 2 <= the.told["rest"]:
                the.update(d_optimizer, softplus(-on_real).mean() + softplus(on_fake).mean())
            d.requires_grad_(False)
            the.update(g_optimizer, softplus(-d(fake)).mean())
            d.requires_grad_(True)
            follow()
    return train


def segan(the):
    import torch
    from torch import nn
    from torch.nn.functional import conv1d, pad

    taps, stride, emphasis = (the.told[name] for name in ("taps", "strides", "emphasis"))
    before = (taps - stride) // 2
    frame, reach = 32, math.ceil(math.log(1e-6) / math.log(emphasis))
    before_frames = -(-(reach - 1) // frame)
    back = torch.arange(frame)[:, None, None] - torch.arange(-before_frames * frame, frame).reshape(before_frames + 1, frame).T
    kernel = torch.where((back >= 0) & (back < reach), emphasis ** back.clamp(min=0).float(), 0.0)  # [out, in, frames]

    def emphasised(x):
        return x - emphasis * pad(x, (1, 0))[..., :-1]

    def plain(x):
        """What undoes it, by frames: kgan.waves.DeEmphasis. As a convolution of one channel it is slow here, too."""
        frames = x.reshape(len(x), -1, frame).transpose(1, 2)
        return conv1d(pad(frames, (before_frames, 0)), kernel).transpose(1, 2).reshape(x.shape)

    class Down(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.conv = convolution(nn.Conv2d, values[0].permute(2, 1, 0)[:, :, None], values[1], stride=(1, stride))

        def forward(self, x):
            return self.conv(pad(x, (before, taps - stride - before)))

    class Up(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.conv = convolution(nn.ConvTranspose2d, values[0].permute(2, 1, 0)[:, :, None], values[1], stride=(1, stride),
                                    padding=(0, before))

        def forward(self, x):
            return self.conv(x)[..., :stride * x.shape[-1]]

    def prelu(values):
        made = nn.PReLU(values[0].numel())
        made.weight.data = values[0].flatten()
        return made

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            found = list(the.weights("generator"))
            kernels = [i for i, values in enumerate(found) if len(values[0].shape) == 3]
            middle = len(kernels) // 2
            self.down = nn.ModuleList(Down(found[i]) for i in kernels[:middle])
            self.up = nn.ModuleList(Up(found[i]) for i in kernels[middle:])
            slopes = [prelu(values) for values in found if len(values) == 1 and len(values[0].shape) == 2]
            self.falling, self.rising = nn.ModuleList(slopes[:middle]), nn.ModuleList(slopes[middle:])
            self.gains = nn.ParameterList(values[0].reshape(1, -1, 1, 1) for values in found if len(values) == 1 and values[0].dim() == 1)

        def forward(self, sound):
            x, maps = emphasised(sound), []
            for layer, slope in zip(self.down, self.falling):
                maps.append(layer(x))
                x = slope(maps[-1])
            for layer, slope, mirrored, gain in zip(self.up, self.rising, maps[-2::-1], self.gains):
                x = slope(layer(x)) + mirrored * gain
            x = torch.tanh(self.up[-1](x))
            return plain(x).clip(-1, 1)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            *down, one, last = the.weights("discriminator")
            self.down, self.last = nn.ModuleList(map(Down, down)), linear(last)
            self.one = convolution(nn.Conv2d, one[0].permute(2, 1, 0)[:, :, None], one[1])

        def forward(self, noisy, sound):
            x = emphasised(torch.cat([sound, noisy], 1))
            for layer in self.down:
                x = nn.functional.leaky_relu(layer(x), 0.3)
            return self.last(self.one(x).flatten(1))

    def seen(sounds):
        """[n, T, 1], stored or not, as [n, 1, 1, T]."""
        sounds = sounds.float() / 32768 if sounds.dtype == torch.int16 else sounds
        return sounds.permute(0, 2, 1)[:, :, None].contiguous(memory_format=torch.channels_last)

    g, d = Generator().to(memory_format=torch.channels_last), Discriminator().to(memory_format=torch.channels_last)
    with torch.no_grad():
        noisy, real = seen(the.handed["given input"]), seen(the.handed["real"])
        the.check(made=g(noisy), logits=d(noisy, real))
    follow, g_optimizer, d_optimizer = the.follower(g), the.adam(g, "generator"), the.adam(d, "discriminator")

    def train(steps):
        for _ in range(steps):
            noisy, real = map(seen, the.batch())
            fake = g(noisy)
            the.update(d_optimizer, (((d(noisy, real) - 1) ** 2).mean() + (d(noisy, fake.detach()) ** 2).mean()) / 2)
            d.requires_grad_(False)
            content = (emphasised(real) - emphasised(fake)).abs().mean()
            the.update(g_optimizer, ((d(noisy, fake) - 1) ** 2).mean() / 2 + the.told["content_weight"] * content)
            d.requires_grad_(True)
            follow()
    return train


def seqgan(the):
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    embedding, kernel, recurrent, bias, head, head_bias = next(the.weights("generator"))

    class Writer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(embedding, freeze=False)
            self.lstm = nn.LSTM(embedding.shape[1], the.told["units"], batch_first=True)  # its gates come in Keras's order
            self.lstm.weight_ih_l0.data, self.lstm.weight_hh_l0.data = kernel.T.contiguous(), recurrent.T.contiguous()
            self.lstm.bias_ih_l0.data, self.lstm.bias_hh_l0.data = bias, torch.zeros_like(bias)
            self.lstm.bias_hh_l0.requires_grad_(False)  # Keras has one bias
            self.head = linear([head, head_bias])

        def forward(self, tokens):
            before = torch.cat([torch.full_like(tokens[:, :1], len(embedding) - 1), tokens[:, :-1]], 1)
            return self.head(self.lstm(self.embedding(before))[0])

    g = Writer()
    with torch.no_grad():
        the.check(logits=g(the.handed["real"].long()))
    optimizer, data = the.adam(g, "generator"), [some.long() for some in the.data]
    the.data = data

    def train(steps):
        for _ in range(steps):
            tokens, = the.batch()
            loss = cross_entropy(g(tokens).flatten(0, 1), tokens.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(g.parameters(), the.told["global_clipnorm"], foreach=True)
            optimizer.step()
    return train
