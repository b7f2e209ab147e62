"""How much clearer is speech that a trained segan has cleaned? Beside the noisy sound and Wiener filters. Prints one
JSON line last.

    python benchmarks/speech_enhancement.py runs/NAME
    python benchmarks/speech_enhancement.py runs/NAME --count=200 --levels=0,10 --sheet=sheet.png --sounds=FOLDER

The sounds are windows of the run's test split (of the training split where there is no other), the noises those of
`unseen`, at each level in turn. Of each way of cleaning: SI-SDR and segmental SNR in dB, the means of all windows;
STOI, of eight windows joined, for a word is shorter than what it looks at. The ways:

    noisy       nothing is done
    local       scipy.signal.wiener, at the one of five window lengths that is best for the level: it is told the answer
    spectral    a Wiener filter by short-time Fourier transforms: the noise's spectrum is the mean of the fifth of the frames that is
                softest, the speech's is found by decision (Ephraim & Malah 1984, α .98), the gain is at least a tenth
    segan       the averaged generator
"""
import argparse
import json
from pathlib import Path

import numpy as np
import scipy.signal

from kgan.kinds import _sound, audio

WINDOWS, JOINED = (3, 5, 9, 17, 33), 8


def spectral(noisy, rate, alpha=0.98, least=0.1):
    """float [T] -> float [T]: see above."""
    size = 2 ** round(np.log2(0.032 * rate))
    _, _, found = scipy.signal.stft(noisy, rate, nperseg=size, noverlap=3 * size // 4)
    power = np.abs(found) ** 2
    softest = np.argsort(power.sum(0))[:max(1, power.shape[1] // 5)]
    noise = power[:, softest].mean(1) + 1e-12
    before, gains = np.zeros(len(noise)), np.zeros_like(power)
    for t in range(power.shape[1]):
        above = np.maximum(power[:, t] / noise - 1, 0)
        ratio = alpha * before + (1 - alpha) * above if t else above
        gains[:, t] = np.maximum(ratio / (1 + ratio), least)
        before = gains[:, t] ** 2 * power[:, t] / noise
    _, made = scipy.signal.istft(gains * found, rate, nperseg=size, noverlap=3 * size // 4)
    return np.pad(made, (0, max(0, len(noisy) - len(made))))[:len(noisy)]


def measured(made, true, rate):
    """dict of the means, of float [n, T] each."""
    pairs = list(zip(made, true))
    joined = [[np.concatenate(each[i:i + JOINED]) for each in (made, true)] for i in range(0, len(true), JOINED)]
    return {"si_sdr": float(np.mean([_sound.si_sdr(*pair) for pair in pairs])),
            "segmental_snr": float(np.mean([_sound.segmental_snr(*pair, rate) for pair in pairs])),
            "stoi": float(np.nanmean([_sound.stoi(*pair, rate) for pair in joined]))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--levels", default="0,5,10,15")
    parser.add_argument("--checkpoint", default="newest")
    parser.add_argument("--sheet", help="a picture: of some windows what is noisy, cleaned, clean")
    parser.add_argument("--sounds", help="a folder for the same as WAV files")
    options = parser.parse_args()

    from kgan.data.noises import Noisy
    from kgan.metrics.evaluate import sources
    from kgan.run import Run, load
    gan, _ = load(options.run, options.checkpoint)
    settings = Run(options.run).settings(required=True)
    train, test = sources(settings)
    source = test or train
    rate, config = source.more["audio"]["rate"], settings["config"]
    rows = np.sort(np.random.default_rng(0).permutation(len(source))[:options.count])
    stored = np.asarray(source.arrays["audio"][rows])
    true, table, shown = audio.scale(stored.astype(np.float64))[..., 0], {}, []
    for level in map(float, options.levels.split(",")):
        noisy = audio.scale(Noisy(stored, config["unseen"], (level, level), rate, 1)[:].astype(np.float32))
        made = gan.generate(len(noisy), given={"input": noisy}, batch_size=32)[..., 0]
        dithered = noisy[..., 0] + np.random.default_rng(0).normal(0, 1e-7, noisy.shape[:2])  # it divides by the variance
        local = max(([scipy.signal.wiener(one, size) for one in dithered] for size in WINDOWS),
                    key=lambda made: np.mean([_sound.si_sdr(*pair) for pair in zip(made, true)]))
        ways = {"noisy": noisy[..., 0], "local": np.array(local), "spectral": np.array([spectral(one, rate) for one in noisy[..., 0]]),
                "segan": made}
        table[f"{level:g} dB"] = {way: measured(values, true, rate) for way, values in ways.items()}
        for way, figures in table[f"{level:g} dB"].items():
            print(f"{level:4g} dB  {way:9}" + "".join(f"  {name} {value:7.3f}" for name, value in figures.items()), flush=True)
        shown.append({way: values[:8] for way, values in {**ways, "clean": true}.items()})
    if options.sheet:
        rows = [some[way] for some in shown for way in ("noisy", "spectral", "segan", "clean")]
        audio.sheet(np.concatenate(rows)[..., None]).save(options.sheet)
    if options.sounds:
        Path(options.sounds).mkdir(parents=True, exist_ok=True)
        for level, some in zip(table, shown):
            for way in ("noisy", "segan", "clean"):
                Path(options.sounds, f"{level.replace(' ', '')}-{way}.wav").write_bytes(
                    audio.beside(some[way][..., None], rate=rate)[".wav"])
    gains = {way: float(np.mean([row[way]["si_sdr"] - row["noisy"]["si_sdr"] for row in table.values()])) for way in ("local", "spectral", "segan")}
    print(json.dumps({"run": options.run, "windows": len(true), "rate": rate, "si_sdr_gained": gains, "levels": table}))


if __name__ == "__main__":
    main()
