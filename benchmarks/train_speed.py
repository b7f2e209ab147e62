"""How fast does kgan train, beside PyTorch and beside NumPy? Prints one JSON line last.

    pip install -e ".[bench]"
    python benchmarks/train_speed.py                                 every work
    python benchmarks/train_speed.py --works=dcgan28 --repeats=9
    python benchmarks/train_speed.py --works=dcgan64,dcgan28,mlp --precision=mixed_bfloat16      on a GPU

    work       what is trained                                                                      beside
    dcgan64    dcgan, preset `tutorial`: colour images of 64 pixels, batches of 64                  PyTorch
    dcgan28    dcgan, the default without minibatch_std: grey images of 28 pixels, batches of 128   PyTorch
    mlp        mlp, the default (100-256-784 and back): the same images, batches of 64              PyTorch
    sine       sine, preset `tutorial` (1-10-10-10 and back): signals of 10 values, batches of 256  NumPy
    cyclegan   cyclegan, 6 blocks: grey images of 64 pixels, batches of 4, pools, the identity loss PyTorch
    pix2pix    pix2pix, 32 filters, patches of 70: outlines in colour of 64 pixels, batches of 4       PyTorch
    cyclegan_reference, cyclegan_together, pix2pix_reference    beside other PyTorch: benchmarks/torch_translators.py
    srgan      SRResNet's phase, the default's 8 blocks of 32 filters: 12 pixels to 48, colour, 16 at once PyTorch
    gan3d      gan3d, the default: solids of 32 voxels a side, batches of 32, D rests                     PyTorch
    segan      segan, preset plus: windows of 4,096 samples, batches of 32                                PyTorch
    seqgan_imitation    imitation, the default's LSTM of 64: 20 words of 500, batches of 64               PyTorch

kgan's side is `GAN.fit` on train.py's input pipeline with the model's own settings, metrics and averaged generator: no
bare loop. PyTorch's trains the same networks, built from kgan's layers with kgan's weights (before anything is timed,
images and logits of both must agree within 1e-3, on a GPU within .05), by the same update: D on a batch and as many
generated images, then G on these images, Adam, the averaged generator. It is at its best: channels_last, fused Adam, D
frozen in G's step, set_to_none, examples picked from one array in memory, no metrics. Where there is a GPU both train on
it, in TF32 or with --precision=mixed_bfloat16, which is autocast there; PyTorch's array lies on the GPU, its losses and the
generator go through torch.compile, cuDNN tries its algorithms out. NumPy's is a tutorial's loop, written out by hand: one
signal an update, plain SGD; there batches are what kgan gains by.

Each side is a process of its own with `--threads` threads. First each warms up (kgan traces and compiles: `first_step`
is its first call of fit in seconds). Then they take turns of about `--seconds`, `--repeats` times; while one trains, the
other is asleep. `ratio` is kgan's examples a second over the other's in the same turn: the median, least and greatest; `cpu_ratio`
the median of that by CPU seconds: with one thread it is what an idle machine would give, also where other work shares this one.
"""
import argparse
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch_families
import torch_translators

LONG = dict(steps=10**6)  # so that no phase ends and no schedule moves on
CYCLEGAN = dict(model="cyclegan", other="torch_translators", data=dict(image_size=64, channels=1), settings=dict(blocks=6))
PIX2PIX = dict(model="pix2pix", other="torch_translators", data=dict(image_size=64, channels=3),
               settings=dict(filters=32, patch="70", batch_size=4))
WORKS = {
    "dcgan64": dict(model="dcgan", other="torch", data=dict(image_size=64, channels=3),
                    settings=dict(preset="tutorial", batch_size=64)),
    "dcgan28": dict(model="dcgan", other="torch", data=dict(image_size=28, channels=1),
                    settings=dict(batch_size=128, noise_dim=100, minibatch_std=False)),
    "mlp": dict(model="mlp", other="torch", data=dict(image_size=28, channels=1), settings=dict()),
    "sine": dict(model="sine", other="numpy", data=dict(), settings=dict(preset="tutorial", batch_size=256)),
    "cyclegan": dict(CYCLEGAN, norm="group"),
    "cyclegan_reference": dict(CYCLEGAN, norm="instance"),
    "cyclegan_together": dict(CYCLEGAN, norm="group", together=True),
    "pix2pix": dict(PIX2PIX, norm="group"),
    "pix2pix_reference": dict(PIX2PIX, norm="instance"),
    "srgan": dict(model="srgan", other="torch_families", data=dict(image_size=48, channels=3), settings=dict(LONG, warm_up=10**6)),
    "gan3d": dict(model="gan3d", other="torch_families", data=dict(), settings=LONG),
    "segan": dict(model="segan", other="torch_families", data=dict(), settings=dict(LONG, preset="plus")),
    "seqgan_imitation": dict(model="seqgan", other="torch_families", data=dict(), settings=dict(LONG, imitation=10**6)),
}
DATA = {"sine": "sine", "cyclegan": "slants", "pix2pix": "outlines", "gan3d": "solids", "segan": "voices",
        "seqgan": "oracle"}  # of other models: glyphs


def take_turns(train, batch_size, at_once=1):
    """Warms up; then answers each line of standard input, a number of seconds, with examples a second and a CPU second, as JSON.

    `train`: function of a number of steps, a multiple of `at_once`.
    """
    start = time.perf_counter()
    train(at_once)
    print(json.dumps(time.perf_counter() - start), flush=True)
    speed = None  # steps a second
    for line in sys.stdin:
        steps = at_once * max(1, round(float(line) * speed / at_once)) if speed else 4 * at_once
        start, before = time.perf_counter(), time.process_time()
        train(steps)
        speed = steps / (time.perf_counter() - start)
        print(json.dumps([speed * batch_size, steps * batch_size / (time.process_time() - before)]), flush=True)


def kgan_side(work, folder, options):
    import keras
    import tensorflow as tf

    from kgan import data, devices, models

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(0)
    Config = models.outline(work["model"]).Config
    config = dataclasses.asdict(Config.of(**work["settings"]))
    source = data.of({"dataset": DATA.get(work["model"], "glyphs"), **work["data"], "seed": 0, "config": config}, Config.needs,
                     paired=Config.paired)
    fields = {name: source.fields[name] for name in Config.needs} or None
    with devices.precision(options.precision):
        gan = models.build(work["model"], source.shape, work["settings"], fields=fields)
        gan.compile(steps_per_execution=devices.steps_per_execution(gan.config))
    if work["other"] == "torch":
        hand_over(gan, source, folder)
    for module in (torch_translators, torch_families):
        if work["other"] == module.__name__:
            module.hand_over(gan, source, folder)
    batches = data.batches(source, gan.config.batch_size, repeat=True)
    take_turns(lambda steps: gan.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0), gan.config.batch_size,
               gan.steps_per_execution)


# === PyTorch ===

def hand_over(gan, source, folder):
    """Writes what PyTorch needs: networks, data, the optimizer's numbers, and images and logits to compare with."""
    noise = gan.latents(8, seed=1)
    images = gan.generator(noise, training=False)
    np.savez(folder / "handed.npz", noise=noise, images=images, logits=gan.discriminator(images, training=False),
             data=np.asarray(source.arrays["image"][:20_000]),
             **{f"{name} {i} {j}": value for name in gan.networks()
                for i, layer in enumerate(getattr(gan, name).layers) for j, value in enumerate(layer.get_weights())})
    config = gan.config
    told = {name: [(type(layer).__name__, layer.get_config()) for layer in getattr(gan, name).layers]
            for name in gan.networks()}
    told.update(noise_dim=config.noise_dim, batch_size=config.batch_size, ema_decay=config.ema_decay,
                rates=[config.generator_learning_rate, config.discriminator_learning_rate],
                betas=[config.beta_1, config.beta_2])
    (folder / "handed.json").write_text(json.dumps(told, default=str))


def torch_network(layers, weights):
    """Keras's layers as PyTorch's, from the dicts of their configurations and the lists of their weights."""
    import torch
    from torch import nn

    class Maps(nn.Module):
        """[n, H·W·C] -> [n, C, H, W]: Keras's [n, H, W, C], which is channels_last as it stands."""

        def __init__(self, shape):
            super().__init__()
            self.shape = shape

        def forward(self, x):
            return x.reshape(-1, *self.shape).permute(0, 3, 1, 2)

    class Flat(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    def module(kind, told, values, size):
        """A layer, and the side of its maps if that is `size` before it."""
        values = [torch.from_numpy(value) for value in values]
        if kind == "InputLayer" or kind == "Activation" and told["activation"] == "linear":
            return nn.Identity(), size
        if kind == "Dense":
            made = nn.Linear(*values[0].shape, bias=told["use_bias"])
            made.weight.data = values[0].T.contiguous()
        elif kind == "BatchNormalization":
            made = nn.BatchNorm2d(len(values[0]), eps=told["epsilon"], momentum=1 - told["momentum"])
            made.weight.data, made.bias.data, made.running_mean, made.running_var = values
        elif kind in ("Conv2D", "Conv2DTranspose"):
            side, _, *channels = values[0].shape
            stride, same = told["strides"][0], told["padding"] == "same"
            if kind == "Conv2DTranspose":
                made = nn.ConvTranspose2d(*channels[::-1], side, stride, (side - stride) // 2 if same else 0,
                                          bias=told["use_bias"])
                made.weight.data = values[0].permute(3, 2, 0, 1).contiguous()
                size = size * stride if same else size + side - 1
            else:
                after = -(-size // stride)
                pad = (after - 1) * stride + side - size
                made = nn.Conv2d(*channels, side, stride, pad // 2, bias=told["use_bias"])
                made.weight.data = values[0].permute(3, 2, 0, 1).contiguous()
                if pad % 2:  # TensorFlow pads more behind
                    made.padding = (0, 0)
                size = after
        else:
            return {"ReLU": nn.ReLU, "LeakyReLU": lambda: nn.LeakyReLU(told["negative_slope"]), "Flatten": Flat,
                    "Reshape": lambda: Maps(told["target_shape"]), "Activation": lambda: {
                        "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "relu": nn.ReLU()}[told["activation"]]}[kind](), (
                            told["target_shape"][0] if kind == "Reshape" else size)
        if kind != "BatchNormalization" and told["use_bias"]:
            made.bias.data = values[1]
        if kind == "Conv2D" and pad % 2:
            made = nn.Sequential(nn.ZeroPad2d((pad // 2, pad - pad // 2) * 2), made)
        return made, size

    found, size = [], None
    for (kind, told), values in zip(layers, weights, strict=True):
        if kind == "InputLayer" and len(told["batch_shape"]) == 4:
            size = told["batch_shape"][1]
        made, size = module(kind, told, values, size)
        found.append(made)
    return nn.Sequential(*found).to(memory_format=torch.channels_last)


def torch_side(work, folder, options, graphs=False):
    import copy

    import torch
    from torch.nn.functional import softplus

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.manual_seed(0)
    told = json.loads((folder / "handed.json").read_text())
    with np.load(folder / "handed.npz") as file:
        handed = dict(file)
    generator, discriminator = (
        torch_network(told[name], [[handed[f"{name} {i} {j}"] for j in range(9) if f"{name} {i} {j}" in handed]
                                   for i in range(len(told[name]))]) for name in ("generator", "discriminator"))
    with torch.no_grad():
        images = generator.eval()(torch.from_numpy(handed["noise"]))
        logits = discriminator.eval()(images)
    gpu = torch.cuda.is_available()
    # kgan may have computed in TF32 or bfloat16; PyTorch has not: it is float32 on the CPU here
    near = 0.05 if gpu or options.precision != "float32" else 1e-3
    for ours, theirs in ((images.permute(0, 2, 3, 1).numpy(), handed["images"]), (logits.numpy(), handed["logits"])):
        if not np.abs(ours - theirs).max() < near * max(1, np.abs(theirs).max()):
            raise SystemExit(f"the networks differ by {np.abs(ours - theirs).max()}")

    device = torch.device("cuda" if gpu else "cpu")
    generator, discriminator = generator.to(device), discriminator.to(device)
    average = copy.deepcopy(generator)
    generator.train(), discriminator.train()
    g_optimizer, d_optimizer = (torch.optim.Adam(network.parameters(), rate, tuple(told["betas"]), fused=True, capturable=graphs and gpu)
                                for network, rate in zip((generator, discriminator), told["rates"]))
    data, batch_size, decay = torch.from_numpy(handed["data"]).to(device), told["batch_size"], told["ema_decay"]
    autocast = torch.autocast(device.type, torch.bfloat16, options.precision == "mixed_bfloat16", cache_enabled=not graphs)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True

    def judge(real, fake):
        return softplus(-discriminator(real).float()).mean() + softplus(discriminator(fake).float()).mean()

    def fool(fake):
        return softplus(-discriminator(fake).float()).mean()

    make = generator
    if gpu or graphs:
        make, judge, fool = map(torch.compile, (make, judge, fool))

    def step():
        real = data[torch.randint(len(data), (batch_size,), device=device)].permute(0, 3, 1, 2).float() / 127.5 - 1
        with autocast:
            fake = make(torch.randn(batch_size, told["noise_dim"], device=device))
            d_loss = judge(real, fake.detach())
        d_optimizer.zero_grad(set_to_none=True)
        d_loss.backward()
        d_optimizer.step()
        discriminator.requires_grad_(False)
        with autocast:
            g_loss = fool(fake)
        g_optimizer.zero_grad(set_to_none=True)
        g_loss.backward()
        g_optimizer.step()
        discriminator.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - decay)

    once = captured(step) if graphs and gpu else step

    def train(steps):
        for _ in range(steps):
            once()
        if gpu:
            torch.cuda.synchronize()

    take_turns(train, batch_size)


def captured(step):
    """A function that makes a step again by replaying the CUDA graph of one. The random numbers go on from replay to replay."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # whatever is compiled, tried out or allocated at first
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


# === NumPy ===

def numpy_side(work, folder, options):
    """The tutorial: ReLU and LeakyReLU networks of 10 units, logits, SGD with a clipped gradient, signal by signal."""
    random = np.random.default_rng(0)
    sizes = {"generator": [1, 10, 10, 10], "discriminator": [10, 10, 10, 1]}
    networks = {name: [(random.uniform(-1, 1, pair) * (2 / sum(pair)) ** 0.5, np.zeros(pair[1]))
                       for pair in zip(units, units[1:])] for name, units in sizes.items()}
    slopes = {"generator": 0.0, "discriminator": 0.2}
    ends = {"generator": (np.tanh, lambda y: 1 - y**2), "discriminator": (lambda x: x, lambda y: 1.0)}
    rate, most, bound = 0.01, 0.2, 0.25

    def forward(name, x):
        kept = [x]
        for i, (kernel, bias) in enumerate(networks[name]):
            x = x @ kernel + bias
            x = ends[name][0](x) if i == len(networks[name]) - 1 else np.where(x > 0, x, slopes[name] * x)
            kept.append(x)
        return kept

    def backward(name, kept, gradient):
        """Gradients of each layer's kernel and bias, and of the input."""
        found = []
        gradient = gradient * ends[name][1](kept[-1])
        for i in reversed(range(len(networks[name]))):
            found.insert(0, (np.outer(kept[i], gradient), gradient))
            gradient = gradient @ networks[name][i][0].T
            gradient = gradient * np.where(kept[i] > 0, 1.0, slopes[name]) if i else gradient
        return found, gradient

    def update(name, *gradients):
        for i, values in enumerate(networks[name]):
            new = []
            for j, value in enumerate(values):
                gradient = sum(found[i][j] for found in gradients)
                gradient = gradient * min(1, most / max(np.linalg.norm(gradient), 1e-12))
                new.append(np.clip(value - rate * gradient, -bound, bound))
            networks[name][i] = tuple(new)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def train(steps):
        for _ in range(steps):
            scale, start, frequency = random.uniform((0.5, 0, 1.2), (0.8, 1, 1.5))
            real = forward("discriminator", scale * np.sin(start + frequency * np.arange(10)))
            made = forward("generator", random.normal(size=1))
            fake = forward("discriminator", made[-1])
            update("discriminator", backward("discriminator", real, -sigmoid(-real[-1]))[0],
                   backward("discriminator", fake, sigmoid(fake[-1]))[0])
            fake = forward("discriminator", made[-1])
            _, slope = backward("discriminator", fake, -sigmoid(-fake[-1]))
            update("generator", backward("generator", made, slope)[0])

    take_turns(train, 1, 100)


SIDES = {"kgan": kgan_side, "torch": torch_side, "torch_graphs": functools.partial(torch_side, graphs=True), "numpy": numpy_side,
         **{module.__name__: functools.partial(module.side, take_turns=take_turns) for module in (torch_translators, torch_families)}}


class Side:
    """A side in a process of its own."""

    def __init__(self, side, work, folder, options):
        # on a GPU each takes what memory it needs, so that the other has some, too
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "TF_CPP_MIN_LOG_LEVEL": "3",
                       "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        self._process = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], f"--side={side},{work}",
                                          f"--folder={folder}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env=environment)

    def answer(self, seconds=None):
        if seconds is not None:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"a side ended with status {self._process.wait()}")
        return json.loads(line)

    def end(self):
        self._process.stdin.close()
        self._process.wait()


def compare(name, options):
    """The figures of one work, as a dict; of what --graphs adds under the name of that side."""
    others = [WORKS[name]["other"]]
    others += ["torch_graphs"] if options.graphs and others == ["torch"] else []
    with tempfile.TemporaryDirectory() as folder:
        kgan = Side("kgan", name, folder, options)
        first_step = kgan.answer()
        # they need what kgan has handed over
        sides = {"kgan": kgan, **{other: Side(other, name, folder, options) for other in others}}
        for other in others:
            sides[other].answer()
        for side in sides.values():
            side.answer(options.seconds)  # short: tells how many steps a turn has
            side.answer(options.seconds)
        turns = [{name: side.answer(options.seconds) for name, side in sides.items()} for _ in range(options.repeats)]
        for side in sides.values():
            side.end()
    speeds = {name: round(statistics.median(turn[name][0] for turn in turns), 1) for name in sides}

    def beside(other):
        ratios, by_cpu = ([turn["kgan"][i] / turn[other][i] for turn in turns] for i in range(2))
        return {"ratio": round(statistics.median(ratios), 3), "least": round(min(ratios), 3), "greatest": round(max(ratios), 3),
                "cpu_ratio": round(statistics.median(by_cpu), 3)}

    return {"examples_per_second": speeds, "first_step": round(first_step, 1), **beside(others[0]),
            **{other: beside(other) for other in others[1:]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"])
    parser.add_argument("--graphs", action="store_true", help="also PyTorch's step as a CUDA graph; on a CPU it is only compiled")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side, work = options.side.split(",")
        return SIDES[side](WORKS[work], Path(options.folder), options)
    results = {}
    for name in options.works.split(","):
        results[name] = compare(name, options)
        print(name, json.dumps(results[name]), flush=True)
    print(json.dumps({"benchmark": "train_speed", **{name: getattr(options, name) for name in (
        "threads", "repeats", "seconds", "precision")}, "results": results}))


if __name__ == "__main__":
    main()
