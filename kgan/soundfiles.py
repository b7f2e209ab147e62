"""Sound files through a model that makes sounds from sounds: part of `python -m kgan.translate`.

    python -m kgan.translate runs/NAME FOLDER --out=CLEAN          all sounds below, in the same sub-folders
    python -m kgan.translate runs/NAME a.wav b.flac --out=CLEAN

Files of any length and rate: channels are averaged, the sound is brought to the model's rate and what is made of it
back to the file's own, as a WAV file of 16 bits with as many samples. What lies above half of the lower rate is lost.
Long files are made in parts of one or two minutes that overlap by more than the network sees: the same sound as in one
piece.
"""
import numpy as np
from tqdm import tqdm

from kgan.command import UserError
from kgan.kinds import _sound, audio
from kgan.quiet import import_tensorflow
from kgan.run import load, write

PART, OVERLAP = 1 << 20, 1 << 18  # samples at the model's rate


def enhance(network, sound, rate, own, part=PART, overlap=OVERLAP, multiple=1):
    """One sound of any length.

    Args:
        network: function of float32 [1, t, 1] in [-1, 1] that gives as much.
        sound: float [T], at `rate` samples a second.
        rate, own: that of the sound, and that of the model.
        part: longer sounds are made in parts of about this length, of the model's samples.
        overlap: samples that neighbouring parts have in common; four times what the network sees to each side, or more.
        multiple: parts begin at multiples of this, the network's total stride.

    Returns:
        float64 [T].
    """
    from kgan.translate import blended
    given = _sound.resample(sound, rate, own).astype(np.float32)
    made = blended(lambda row: np.asarray(network(row[:, 0]))[:, None], given[None, :, None], part, overlap, multiple)[0, :, 0]
    return _sound.resample(made, own, rate)[:len(sound)]


def translate_files(network, own, placed, multiple=1, overwrite=False, progress=False):
    """Files to files; arguments and result as for `kgan.translate.translate_files`, `own` is the model's rate."""
    made, kept, broken = 0, 0, {}
    for path, target in tqdm(placed.items(), unit="sound", disable=not progress):
        if target.exists() and not overwrite:
            kept += 1
            continue
        try:
            sound, rate = audio.decode(path.read_bytes())
        except (ValueError, OSError) as error:
            broken[path] = " ".join(str(error).split())
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, audio.write(enhance(network, sound, rate, own, multiple=multiple)[:, None], rate=rate))
        made += 1
    return made, kept, broken


def function_of(gan, seed=0):
    """What `enhance` needs of a trained GAN: (network, the model's rate, its total stride)."""
    import tensorflow as tf

    from kgan.anysize import RoundUp
    noise = gan.latents(1, seed)

    @tf.function(input_signature=[tf.TensorSpec([1, None, 1])])
    def network(sounds):
        return gan.make(noise, {"input": sounds})
    multiple = max((layer.multiple for layer in gan.ema_generator.layers if isinstance(layer, RoundUp)), default=1)
    return network, gan.fields["input"].more.get("rate", audio.MORE["rate"]), multiple


def main(directory, sources, values):
    """The command, for a run whose model is given sounds; `values`: the flags of kgan.translate."""
    from kgan import outputs, translate
    if values["tile"].present or values["overlap"].present:
        raise UserError("--tile and --overlap are for images: sounds are made in parts by themselves")
    placed = outputs.outputs(sources, values.out, audio.SUFFIXES, ".wav")
    import_tensorflow()
    gan, step = load(directory, values.checkpoint)
    network, own, multiple = function_of(gan, values.seed)
    outputs.agree(values.out, placed, outputs.by(directory, step, gan, values), overwrite=values.overwrite)
    made, kept, broken = translate_files(network, own, placed, multiple, values.overwrite, progress=True)
    print(f"{made} made into {values.out}" + (f"; {kept} were there already (--overwrite makes them anew)" if kept else ""))
    return translate.told(broken, placed)
