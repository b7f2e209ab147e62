"""Do the fast tests find faults? Applies each of FAULTS to a copy of the tree and runs tests on it. Prints one JSON line last.

    python benchmarks/mutations.py                     all of them: about ten minutes on one core
    python benchmarks/mutations.py "cosine" "labels"   those with one of these words in their names

A fault is a text in a file, found once, and what stands there instead. It is `found` by a test that fails, and is named;
`missed`: all passed; `stale`: the text is not there any more, or the tests cannot be run. Before, all of these tests have to
pass on the copy as it is. The exit status is 1 unless all are found.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Fault(NamedTuple):
    """`tests`: those that may find it, as pytest names them, with spaces between."""

    name: str
    path: str
    text: str
    instead: str
    tests: str


FAULTS = [
    # === Losses and penalties ===
    Fault("a sign in G's Wasserstein loss", "kgan/losses.py", "return -ops.mean(fake_logits)", "return ops.mean(fake_logits)",
          "tests/test_losses.py"),
    Fault("a sign in the hinge", "kgan/losses.py", "ops.relu(1 + fake_logits)", "ops.relu(1 - fake_logits)",
          "tests/test_losses.py"),
    Fault("R2 at the real examples", "kgan/penalties.py", '"r2": Penalty(("fake",), factor=0.5)',
          '"r2": Penalty(("real",), factor=0.5)', "tests/test_penalties.py::test_on_a_quadratic_critic"),
    Fault("DRAGAN goes a whole deviation away", "kgan/penalties.py", "place * 0.5 * deviation", "place * deviation",
          "tests/test_penalties.py::test_around_moves_by_at_most_half_a_deviation"),
    Fault("a lazy penalty of the weight of one", "kgan/gan.py", "* every * slope", "* slope",
          "tests/test_penalties.py::test_a_lazy_penalty_by_hand"),
    Fault("acgan forgets the weight of the class", "kgan/models/acgan.py",
          "return self.now(self.config.class_weight) * tf.reduce_mean(entropy)", "return tf.reduce_mean(entropy)",
          "tests/models/test_conditional.py::test_acgan_adds_the_cross_entropy_of_the_class_by_hand"),
    # === The update ===
    Fault("the average is not updated", "kgan/gan.py", "        self.update_averages()\n        return self.results()",
          "        return self.results()", "tests/test_gan.py::test_the_average_follows_the_formula_statistics_too"),
    Fault("the average warms up otherwise", "kgan/game.py", "(1 + step) / (10 + step)", "(1 + step) / (11 + step)",
          "tests/test_gan.py::test_the_average_follows_the_formula_statistics_too"),
    Fault("a batch is dealt out in blocks", "kgan/gan.py", "tensor[i::steps]", "tensor[i * size // steps:(i + 1) * size // steps]",
          "tests/test_gan.py::test_a_step_by_hand"),
    Fault("parts are summed, not averaged", "kgan/game.py", "value / (replicas() * len(parts))", "value / replicas()",
          "tests/test_gan.py::test_accumulation_is_the_same_update"),
    Fault("replicas are summed, not averaged", "kgan/game.py", "value / (replicas() * len(parts))", "value / len(parts)",
          "tests/test_replicas.py"),
    Fault("augmentation follows D's sign too fast", "kgan/gan.py", "0.9 * self._sign + 0.1 * sign", "0.8 * self._sign + 0.2 * sign",
          "tests/test_gan.py::test_adaptive_augmentation_by_hand"),
    Fault("a cosine upside down", "kgan/schedules.py", "0.5 - 0.5 * tf.cos", "0.5 + 0.5 * tf.cos", "tests/test_schedules.py"),
    Fault("spectral normalisation stands still", "kgan/layers.py", "ops.stop_gradient(_iterate(self._matrix(), u))",
          "ops.stop_gradient(u)", "tests/test_layers.py"),
    # === Runs ===
    Fault("a checkpoint without the running means", "kgan/game.py", "return [*self.variables, *self.metrics_variables,",
          "return [*self.variables,", "tests/test_callbacks.py::test_going_on_from_a_checkpoint"),
    Fault("a resumed log lacks the checkpoint's row", "kgan/run.py", 'int(line.split(b",")[0]) <= step', 'int(line.split(b",")[0]) < step',
          "tests/test_callbacks.py::test_going_on_from_a_checkpoint"),
    Fault("all epochs in the same order", "kgan/data/__init__.py", "else [seed, epoch]).permutation", "else [seed]).permutation",
          "tests/data/test_pipeline.py"),
    Fault("the distance's traces count half", "kgan/metrics/frechet.py", "+ traces - 2 * np.sqrt", "+ traces - np.sqrt",
          "tests/metrics/test_frechet.py"),
    # === Families ===
    Fault("a checkpoint without cyclegan's pools", "kgan/game.py", "return [*self.variables, *self.metrics_variables,",
          'return [*(each for each in self.variables if "pool" not in each.path), *self.metrics_variables,',
          "tests/models/test_cyclegan.py::TestBattery"),
    Fault("seqgan's policy gradient goes down", "kgan/models/seqgan.py", "tf.reduce_sum(self.writer.each(tokens) * tf.stop_gradient(value), 1)",
          "tf.reduce_sum(-self.writer.each(tokens) * tf.stop_gradient(value), 1)",
          "tests/models/test_seqgan.py::test_the_policy_gradient_is_that_of_the_expected_reward"),
    Fault("inpaint blends what is known with what is drawn", "kgan/models/inpaint.py",
          "tf.where(mask > 0.5, drawn[..., :image.shape[-1]], image)",
          "tf.where(mask > 0.5, drawn[..., :image.shape[-1]], 0.999 * image + 0.001 * drawn[..., :image.shape[-1]])",
          "tests/models/test_inpaint.py::test_what_is_known_comes_back_bit_for_bit"),
    Fault("advgan changes pixels by twice its bound", "kgan/models/advgan.py", "Perturbed(2 * config.bound,", "Perturbed(4 * config.bound,",
          "tests/models/test_advgan.py::test_no_pixel_changes_by_more_in_a_file_either"),
    # === Exports ===
    Fault("an export names the classes in another order", "export/contract.py", '"int32", "classes": list(field.classes)}',
          '"int32", "classes": list(field.classes)[::-1]}', "tests/test_export.py::test_run_of_a_conditional_model"),
    Fault("images in turn begin with the second class", "export/inputs.py", "tf.range(count) % classes", "(tf.range(count) + 1) % classes",
          "tests/test_export.py::test_conditional_equals_keras"),
    Fault("pixels are cut off, not rounded", "export/saved_model.py", "tf.round((images + 1) * 127.5)",
          "tf.floor((images + 1) * 127.5)", "tests/test_export.py::test_rounding"),
]


def test(tree, tests):
    """Runs tests until one fails. Returns (pytest's exit status, name of the first that failed, or None)."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider", *tests], cwd=tree,
                          env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return done.returncode, failed and failed[1]


def judge(tree, fault):
    """"found by TEST", "missed" or "stale: WHY"."""
    path = tree / fault.path
    sound = path.read_text(encoding="utf-8") if path.exists() else ""
    if sound.count(fault.text) != 1:
        return f"stale: {fault.path} has the text {sound.count(fault.text)} times"
    path.write_text(sound.replace(fault.text, fault.instead), encoding="utf-8")
    try:
        status, failed = test(tree, fault.tests.split())
    finally:
        path.write_text(sound, encoding="utf-8")
    return {0: "missed", 1: f"found by {failed}"}.get(status, f"stale: pytest ended with {status}")


def main():
    words = sys.argv[1:]
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "kgan"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs", "*.egg-info", "build"))
        tests = sorted({name for fault in faults for name in fault.tests.split()})
        status, failed = test(tree, tests)
        if status:
            sys.exit(f"without a fault pytest ends with {status}: {failed}")
        results = {}
        for fault in faults:
            results[fault.name] = judge(tree, fault)
            print(f"{fault.name}: {results[fault.name]}", flush=True)
    found = sum(result.startswith("found") for result in results.values())
    print(json.dumps({"benchmark": "mutations", "faults": len(faults), "found": found, "results": results}))
    return int(found < len(faults))


if __name__ == "__main__":
    sys.exit(main())
