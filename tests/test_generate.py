"""`kgan generate`: samples as files; and the command `kgan` itself."""
import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import export.contract
import export.saved_model
import kgan
from kgan import generate, kinds, models
from kgan.command import UserError
from kgan.run import Run

TINY = {"filters": 2, "noise_dim": 3}


def run_of(folder, model, shape, settings, **more):
    """A run of an untrained model, with a checkpoint."""
    keras.utils.set_random_seed(2)
    gan = models.build(model, shape, settings, classes=more.get("classes", ()))
    gan.compile()
    run = Run(folder)
    run.begin(dict(model=model, dataset="glyphs", shape=shape, seed=0, config=settings, **more))
    run.save(gan, 7)
    return gan, folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("runs") / "plain", "dcgan", (8, 8, 1), TINY)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("runs") / "classes", "cgan", (8, 8, 3), {**TINY, "condition": "label"},
                  classes=["cat", "dog/wolf"])


def pixels(path):
    with Image.open(path) as image:
        found = np.asarray(image)
    return found if found.ndim == 3 else found[..., None]


def table(folder):
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def wanted(gan, seed, **options):
    return kinds.get("image").store(gan.generate(1, seed, **options))[0]


# === Which files ===

def test_rows_in_turn_all_and_one():
    classes = ("cat", "dog/wolf")
    files = lambda label, of=classes: [row["file"] for row in generate.planned(3, 5, of, label, ".png")]
    assert files(None) == ["dog_wolf/000005.png", "cat/000006.png", "dog_wolf/000007.png"]
    assert files("cat") == ["cat/000005.png", "cat/000006.png", "cat/000007.png"]
    for composed, apart in (("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")):
        assert files(apart, ("x", composed)) == [f"{composed}/00000{i}.png" for i in (5, 6, 7)]
    assert len(files("all")) == 6 and files("all")[:2] == ["cat/000005.png", "dog_wolf/000005.png"]
    assert files(None, ()) == ["000005.png", "000006.png", "000007.png"]
    with pytest.raises(UserError, match="--label=cow: .*cat"):
        files("cow")
    with pytest.raises(UserError, match="takes no labels"):
        files("cat", ())
    with pytest.raises(UserError, match="the same folder"):
        generate.planned(1, 0, ("a/b", "a_b"), None, ".png")


# === Files, run and export ===

def test_a_file_is_the_sample_of_its_seed(plain, tmp_path):
    gan, run = plain
    rows = generate.planned(5, 11, (), None, ".png")
    generate.write_files(generate.Generator(run), rows, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{seed:06d}.png" for seed in range(11, 16)]
    for seed in range(11, 16):
        np.testing.assert_array_equal(pixels(tmp_path / f"{seed:06d}.png"), wanted(gan, seed))


def test_many_are_the_same(classes):
    generator = generate.Generator(classes[1])
    given = range(12, 44), [0, 1] * 16
    np.testing.assert_array_equal(generator.samples(*given, many=True), generator.samples(*given))


def test_truncation_is_that_of_generate(plain):
    gan, run = plain
    found = generate.Generator(run).samples([4, 9], truncation=0.5)
    for sample, seed in zip(found, (4, 9)):
        np.testing.assert_allclose(sample, gan.generate(1, seed, truncation=0.5)[0], atol=1e-6)


def test_a_saved_model_gives_the_same(classes, tmp_path):
    gan, run = classes
    told = {**export.contract.interface(gan), "step": 7}
    export.saved_model.write(gan.ema_generator, told, tmp_path / "model", gan.latents)
    exported, kept = generate.Generator(tmp_path / "model"), generate.Generator(run)
    assert exported.classes == kept.classes and exported.step == kept.step == 7
    np.testing.assert_allclose(exported.samples([3, 8], [1, 0], 0.7), kept.samples([3, 8], [1, 0], 0.7), atol=1e-5)


# === The command ===

def test_command_goes_on_and_overwrites_nothing(command, classes, tmp_path):
    gan, run = classes
    out = tmp_path / "out"

    def call(*flags):
        done = command("-m", "kgan", "generate", run, f"--out={out}", *flags, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    status, said, _ = call("--count=4", "--grid")
    assert status == 0 and "4 written" in said and (out / "grid.png").exists()
    assert [(row["file"], row["seed"], row["class"], row["step"]) for row in table(out)] == [
        (f"{folder}/{seed:06d}.png", str(seed), name, "7")
        for seed, (folder, name) in enumerate([("cat", "cat"), ("dog_wolf", "dog/wolf")] * 2)]
    np.testing.assert_array_equal(pixels(out / "dog_wolf" / "000003.png"), wanted(gan, 3, label="dog/wolf"))

    (out / "cat" / "000002.png").unlink()  # as if it had been interrupted
    whole = (out / "cat" / "000000.png").read_bytes()
    (out / "cat" / "000000.png").write_bytes(whole[:20])  # torn by a kill
    (tmp_path / "other.txt").write_text("theirs")
    (out / ".unfinished").write_text("cat/000000.png\n../other.txt\ncat/000004.png")
    status, said, _ = call("--count=6")
    assert status == 0 and "4 written" in said and "2 were there already" in said and len(table(out)) == 6
    assert (out / "cat" / "000000.png").read_bytes() == whole and (tmp_path / "other.txt").exists() and not (out / ".unfinished").exists()

    before = (out / "cat" / "000000.png").read_bytes()
    status, _, error = call("--count=2", "--truncation=0.5")
    assert status == 2 and "truncation ''" in error and "--overwrite" in error and len(error.splitlines()) == 1
    assert (out / "cat" / "000000.png").read_bytes() == before and len(table(out)) == 6
    status, _, _ = call("--count=2", "--truncation=0.5", "--overwrite")
    assert status == 0 and (out / "cat" / "000000.png").read_bytes() != before

    status, said, _ = call("--format=npz", "--count=3")
    with np.load(out / "samples.npz") as found:
        assert found["samples"].shape == (3, 8, 8, 3) and found["samples"].dtype == np.uint8
        assert found["label"].tolist() == [0, 1, 0] and found["classes"].tolist() == ["cat", "dog/wolf"]
        np.testing.assert_array_equal(found["samples"][1], wanted(gan, 1, label=1))


ROW = {"file": "0.png", "seed": 0, "class": "", "truncation": "", "generator": "g", "step": 7, "weights": "00000000"}


@pytest.mark.parametrize("change, words", [
    ({"weights": "1234abcd"}, "holds 0.png of weights '00000000', wanted is '1234abcd'"), ({"step": 8}, "of step '7'")])
def test_a_generator_that_was_trained_anew_is_another(tmp_path, change, words):
    generate.agree(tmp_path, [ROW], False)
    (tmp_path / "0.png").write_bytes(b"old")
    generate.agree(tmp_path, [ROW], False)
    with pytest.raises(UserError, match=words):
        generate.agree(tmp_path, [{**ROW, **change}], False)
    generate.agree(tmp_path, [{**ROW, **change}], True)
    assert not (tmp_path / "0.png").exists()  # were it interrupted now, the same command would take it for a new one


@pytest.mark.parametrize("content", [b"name,price\na,1\n", b"file,seed,mood\na,1,x\n", b"\xff\xfe", b""])
def test_a_manifest_of_something_else(tmp_path, content):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(UserError, match="manifest.csv is of something else"):
        generate.agree(tmp_path, [ROW], False)
    assert (tmp_path / "manifest.csv").read_bytes() == content


def test_an_older_manifest_says_less(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,seed,class,truncation,generator,step\n0.png,0,,,g,7\n")
    generate.agree(tmp_path, [ROW], False)
    assert "00000000" in (tmp_path / "manifest.csv").read_text()


@pytest.mark.parametrize("flags, words", [
    (["--out=out", "--label=cow"], "--label=cow"), (["--out=out", "--check_copies", "--truncation=0"], "--truncation"),
    ([], "--out=FOLDER"), (["--out=file"], "is a file"), (["--out=out", "--seed=2147483647"], "the last seed")])
def test_mistakes(command, classes, tmp_path, flags, words):
    (tmp_path / "file").touch()
    done = command("-m", "kgan", "generate", classes[1], *flags, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("kgan generate: ")


def test_verbs(command, tmp_path):
    help, wrong, listed = (command("-m", "kgan", *words, cwd=tmp_path) for words in (["--help"], ["trian"], ["list"]))
    assert help.returncode == 0 and all(f"kgan {verb}" in help.stdout for verb in ("train", "generate", "serve"))
    assert wrong.returncode == 2 and "did you mean 'train'" in wrong.stderr and len(wrong.stderr.splitlines()) == 1
    assert listed.returncode == 0 and "dcgan" in listed.stdout


# === Starting from a run ===

def test_load_gives_the_gan(plain, tmp_path):
    gan, run = plain
    np.testing.assert_array_equal(kgan.load(run).generate(2, seed=3), gan.generate(2, seed=3))
    gan.save(tmp_path / "gan.keras")
    np.testing.assert_array_equal(kgan.load(tmp_path / "gan.keras").generate(2, seed=3), gan.generate(2, seed=3))
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="no GAN of kgan"):
        kgan.load(tmp_path / "other.keras")


def test_weights_that_fit_are_taken_and_others_named(plain):
    """Of 8 pixels to 16: D has a layer more, and its last one is another's size."""
    from kgan.loading import start_from

    gan, run = plain
    keras.utils.set_random_seed(5)
    models.build("mlp", (2,))  # so that layers have other numbers in their names
    new = models.build("dcgan", (16, 16, 1), TINY)
    told = start_from(new, run)
    np.testing.assert_array_equal(new.discriminator.get_weights()[0], gan.discriminator.get_weights()[0])
    assert any("discriminator" in line and "anew" in line for line in told), told
    same = models.build("dcgan", (8, 8, 1), TINY)
    assert all("anew" not in line for line in start_from(same, run))
    for network in ("ema_generator", "generator"):  # the averaged one is what training starts from
        for one, other in zip(getattr(same, network).get_weights(), gan.ema_generator.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError, match="parameters are there"):
        start_from(models.build("mlp", (8, 8, 1)), run)
    with pytest.raises(UserError, match="makes image, and this model points"):
        start_from(models.build("mlp", (2,), {"preset": "mixture", "fourier_features": 0}), run)


def test_frozen_layers_stay():
    gan = models.build("dcgan", (8, 8, 1), {**TINY, "freeze_discriminator": 1})
    gan.compile(run_eagerly=True)
    before = [weight.numpy() for weight in gan.discriminator.weights]
    gan.train_on_batch({"image": tf.zeros([4, 8, 8, 1])})
    changed = {weight.path: not np.array_equal(weight, old) for weight, old in zip(gan.discriminator.weights, before)}
    first = [path for path in changed if path.split("/")[0] == gan.discriminator.weights[0].path.split("/")[0]]
    assert not any(changed[path] for path in first) and any(changed.values())
    with pytest.raises(kgan.config.ConfigError, match="freeze_discriminator=9"):
        models.build("dcgan", (8, 8, 1), {**TINY, "freeze_discriminator": 9})


def test_fine_tuning_as_a_run(command, plain, tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.new("L", (8, 8), 60 * i).save(tmp_path / "photos" / f"{i}.png")
    flags = ["--model=dcgan", "--dataset=folder:photos", "--image_size=8", "--steps=1", "--batch_size=4",
             *(f"--set={name}={value}" for name, value in TINY.items()), "--set=optimizer=sgd", "--set=discriminator_learning_rate=1e-30", "--set=generator_learning_rate=1e-30",
             "--run_dir=run"]
    done = command("train.py", *flags, f"--init_from={tmp_path}", cwd=tmp_path)
    assert done.returncode == 2 and "there is no run" in done.stderr
    done = command("train.py", *flags, f"--init_from={plain[1]}", "--set=ema_decay=0", cwd=tmp_path)
    assert done.returncode == 0 and "init_from  generator: " in done.stdout, done.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["init_from"] == str(plain[1])
    for one, other in zip(kgan.load(tmp_path / "run").discriminator.get_weights(), plain[0].discriminator.get_weights()):
        if one.ndim > 1:  # statistics of a batch are not trained
            np.testing.assert_array_equal(one, other)


# === Texts ===

def test_pictures_of_a_text(tmp_path):
    gan, _ = run_of(tmp_path / "run", "gancls", (8, 8, 3), {**TINY, "word_dim": 2, "text_dim": 2})
    text = "a large red 7 in italic"
    made = generate.Generator(tmp_path / "run", text=text).samples([0, 5])
    tokens = kinds.get("tokens").read(text.encode(), gan.fields["caption"])
    np.testing.assert_allclose(made, [gan.generate(1, seed=seed, given={"caption": tokens[None]})[0] for seed in (0, 5)], atol=1e-6)
    with pytest.raises(UserError, match="makes image of a text: say which, --text="):
        generate.Generator(tmp_path / "run")
    with pytest.raises(UserError, match="--text=a purple 7: 'purple' is none of the .* words"):
        generate.Generator(tmp_path / "run", text="a purple 7")


def test_texts_as_files(tmp_path, plain):
    gan, _ = run_of(tmp_path / "run", "seqgan", (15,), {"units": 2, "word_dim": 2, "filters": (2,)})
    generator = generate.Generator(tmp_path / "run")
    rows = [{"file": f"{seed}.txt", "seed": seed, "class": ""} for seed in (3, 4)]
    assert generate.write_files(generator, rows, tmp_path / "out") == 2
    words = gan.fields["tokens"].more["words"]
    numbers = [*gan.generate(1, seed=4)[0], 0]
    assert (tmp_path / "out" / "4.txt").read_text().split() == [words[number] for number in numbers[:numbers.index(0)]]
    with pytest.raises(UserError, match="--text=x: this generator is given no text"):
        generate.Generator(plain[1], text="x")
