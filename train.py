"""Trains a GAN: python train.py --model=dcgan

    python train.py --list
    python train.py --model=dcgan --help        the settings of a model, explained
    python train.py --model=dcgan --dataset=folder:photos --image_size=64
    python train.py --model=mlp --set preset=deep --steps=50000 --dry_run

The same command again resumes the run where the last one stopped. `kgan train`, which `pip install` brings, is the same command
in any folder. kgan/training.py is what it does, kgan/run.py says what a run leaves in its directory.
"""
from absl import flags

import kgan.flags
from kgan import command
from kgan.settings import asked
from kgan.training import main

flags.adopt_module_key_flags(kgan.flags)  # --help shows those of the program itself

if __name__ == "__main__":
    command.run(main, "train.py", asked)
