"""What to tell the user when training goes wrong: when to say it, and which settings to try."""
import re

from kgan.config import ConfigError


class Alarm:
    """Goes off when something has been so for `rows` rows of the log in a row; once it was over for as many, again.

    Args:
        text: what to tell the user.
        rows: int.
        holds: function of a row, a dict of name to number, that tells whether it is so.
        first: the step before which rows do not count: every training starts with some disorder.
        times: how often it goes off at most.
    """

    def __init__(self, text, rows, holds, first=500, times=3):
        self.text, self.rows, self.holds, self.first, self.times = text, rows, holds, first, times
        self._on, self._against = False, 0  # `_against`: rows in a row that say the contrary of `_on`

    def goes_off(self, row):
        holds = row["step"] >= self.first and self.holds(row)
        self._against = self._against + 1 if holds != self._on else 0
        if self._against < self.rows:
            return False
        self._on, self._against = holds, 0
        self.times -= holds
        return holds and self.times >= 0


def alarms(gan):
    """What Watch looks out for: a list of Alarm. What `gan` does already, or cannot do, is not advised."""
    config = gan.config
    d_advice = [f"--set penalty=r1{_unnormalised(config)}, or "
                f"--set loss=relativistic --set penalty=r1+r2{_unnormalised(config)}",
                f"a discriminator_learning_rate below {config.discriminator_learning_rate}"]
    d_advice += [] if config.instance_noise else ["--set instance_noise=linear:0.1:0"]
    if gan.kind == "image" and not config.augment:
        d_advice.append("if there are few images --set augment=flip+color+translation+cutout")
    # a D that sees the whole batch tells nearly always, and G still learns
    sure = 0.9995 if getattr(config, "minibatch_std", False) else 0.995
    d_has_won = Alarm(
        f"D has won: of nearly every pair it can tell which is real (d_accuracy {sure} or more in 10 rows of the log), so"
        f" that it hardly shows G the way any more. Try {'; '.join(_taken(config, d_advice))}",
        10, lambda row: row.get("d_accuracy", 0) >= sure)

    done = config.loss == "relativistic" and config.penalty == "r1+r2"
    g_advice = [] if done else [f"--set loss=relativistic --set penalty=r1+r2{_unnormalised(config)}"]
    g_advice += ["--set packing=2"] if config.packing == 1 and not gan.classes else []
    g_advice += [] if getattr(config, "minibatch_std", True) else ["--set minibatch_std=true"]
    g_advice.append(f"a generator_learning_rate below {config.generator_learning_rate}")
    g_has_collapsed = Alarm(
        "G has collapsed: it makes much the same of all noise (diversity below 0.3 in 3 rows of the log; real examples "
        f"have 1). Try {'; '.join(_taken(config, g_advice))}",
        3, lambda row: row.get("diversity", 1) < 0.3)

    g_has_collapsed = [g_has_collapsed] if "input" not in gan.fields else [
        alarm for end, way in (("", "G"), ("_back", "the inverse")) for alarm in _of_translators(config, end, way)]
    # a penalty or clipped weights keep D's slope bounded: G can follow it even where D is always right
    bounded = gan.penalty is not None or config.weight_clip or getattr(gan, "led", False)
    return [*([] if bounded else [d_has_won]), *g_has_collapsed, *getattr(gan, "alarms", list)()]


def _taken(config, advice):
    """The advice of which the model's Config takes what it says to set."""
    found = []
    for text in advice:
        try:
            type(config).of(**dict(re.findall(r"--set (\w+)=(\S+?),?(?=\s|$)", text)))
            found.append(text)
        except ConfigError:
            pass
    return found


def _of_translators(config, end, way):
    """Alarms about what is made of an input; `end` of the columns' names, `way`: whose they are, in words."""
    weights = [name for name in ("identity_weight", "content_weight", "cycle_weight") if getattr(config, name, 0)]
    lower = f"a generator_learning_rate below {config.generator_learning_rate}"
    keep = "start anew with another --seed" + (f", or with --set identity_weight above {config.identity_weight}"
                                               if hasattr(config, "identity_weight") else "")
    loosen = f"--set {weights[-1]} below {getattr(config, weights[-1])}" if weights else lower
    return [
        Alarm(f"{way} makes much the same of all inputs (diversity{end} below 0.3 in 3 rows of the log; real examples have 1): it no "
              f"longer looks at them. Try {lower}, or a discriminator_learning_rate below {config.discriminator_learning_rate}",
              3, lambda row: row.get(f"diversity{end}", 1) < 0.3),
        Alarm(f"{way} inverts: what it makes is bright where its input is dark (correlation{end} below -0.3 in 3 rows of the log), "
              f"and real images are not so. The way there and back does not show it, and it seldom turns by itself: {keep}",
              3, lambda row: row.get(f"correlation{end}", 1) < -0.3),
        Alarm(f"{way} gives back what it is given (change{end} below 0.05 in 3 rows of the log; what it should make has 1). Try "
              f"{loosen}, or a discriminator_learning_rate above {config.discriminator_learning_rate}",
              3, lambda row: row.get(f"change{end}", 1) < 0.05)]


def not_finite(gan, step, name, first=None, end="; training stops"):
    """What to tell the user when the value of that name is no finite number any more; `first`: GAN.first_not_finite.

    `end`: what follows from it.
    """
    config = gan.config
    advice = [f"a generator_learning_rate below {config.generator_learning_rate} and "
              f"a discriminator_learning_rate below {config.discriminator_learning_rate}"]
    advice += [] if gan.penalty else [f"--set penalty=r1{_unnormalised(config)}"]
    advice += [] if config.clipnorm or config.clipvalue or config.global_clipnorm else ["--set global_clipnorm=1"]
    if "float16" in {layer.compute_dtype for layer in gan.generator.layers + gan.discriminator.layers}:
        advice.append("in float16, which ends at 65,504, a loss that is scaled: compile does it if the policy is "
                      "mixed_float16 then, too; or mixed_bfloat16, which needs no scaling")
    where = f"steps up to {step:,}" + (f"; first {first[1]} at step {first[0]:,}" if first else "")
    mend = "Mend the data: a number in them is not finite" if first and first[1] == "the real examples" else \
        f"Try {'; '.join(_taken(config, advice))}"
    return f"{name} is not a finite number any more ({where}){end}. {mend}"


def _unnormalised(config):
    """What goes with a penalty, as text: no batch normalisation in D."""
    batch = getattr(config, "discriminator_normalization", "none") == "batch"
    return " --set discriminator_normalization=none" if batch else ""
