"""GAN: the alternating update of a generator and a discriminator.

A family needs no more than its two networks. One that has more to say overrides a hook: `content`, what G alone minimises
beside the objective, `self_supervision`, what D alone does, or `auxiliary`, what both do. A family whose algorithm differs
overrides `train_step` in its own file and builds it from the same parts: `real`, `given`, `noise`, `make`, `judge`,
`minimize`, `update_averages`.
"""
import warnings

import keras
import tensorflow as tf

from kgan import augment, contracts, penalties
from kgan.config import ConfigError
from kgan.contracts import freeze
from kgan.draws import DISCRIMINATOR, GENERATOR, VALIDATION
from kgan.replicas import deviation, joined, len_of, replicas
from kgan.sampling import Sampler, feed


@keras.saving.register_keras_serializable("kgan")
class GAN(Sampler):
    """Two networks trained against each other, as an ordinary Keras model.

    Calling it (and `predict`) turns what the generator takes into samples, drawn from the averaged generator: noise
    [n, noise_dim] float32, or a dict of `noise`, `label` (int32 [n] from 0 on) and other given fields by their names.
    `fit` takes batches that are dicts of fields: the real examples under `key` (`image`, float32 [n, H, W, C] in [-1, 1];
    `sample`, float32 [n, D] …), or these alone where nothing is given. A conditional GAN wants labels too, int [n], under the
    name that `config.condition` has, or second in a tuple. With `discriminator_steps` k > 1 a batch is dealt out to the k
    updates of D: it holds k times as many examples as one update sees.

    Args:
        generator: built keras.Model from noise [n, noise_dim] to samples; if it takes more, from a dict of `noise`, `label`
            and given fields, of those that it has inputs for.
        discriminator: built keras.Model from samples, or from a dict of samples and given fields, to logits [n, 1], [n, k] for
            an MMD objective, or maps of them: no sigmoid at its end. One that says more gives a dict with these as `logits`.
        config: Config; of its fields only those under "The update" are used here.
        seed: of all noise. Noise is a function of (seed, step, replica, draw), so that nothing about it needs saving.
        classes: different names of what labels stand for, the first of label 0; none: the GAN takes no labels.
        fields: dict of name -> kgan.kinds.Field, of what is made and of what is given beside noise and label. None: something
            is made of the kind that its shape is usual for, and nothing else is given.
    """

    told = ()  # the names of the means that a family adds to the log: `self._means[name]` is to be updated with them

    def __init__(self, generator, discriminator, config=None, seed=0, classes=(), fields=None, name="gan"):
        super().__init__(generator, config, seed, classes, fields, name)
        if self.fields.keys() - {self.key} and self.config.packing > 1:
            raise ConfigError(f"packing={self.config.packing}: is for GANs without labels, of which each sample has its own")
        if self.config.augment or self.config.consistency_weight:
            if self.fields[self.key].kind != "image":
                raise ConfigError(f"augment and consistency_weight are for images, and this makes {self.fields[self.key].kind}: "
                                  "instance_noise is for all")
            augment.check(self.config.augmentations, self.fields[self.key].shape)

        # === Layers ===
        contracts.network("discriminator", discriminator)
        self.generator = generator
        self.discriminator = discriminator
        contracts.together(self)
        if self.config.freeze_discriminator:
            freeze(discriminator, self.config.freeze_discriminator)
        self.average("generator")  # samples are drawn from it

        # === Metrics ===
        names = ["d_loss", "g_loss", "d_real", "d_fake", "d_accuracy", "d_gradient", "g_gradient"]
        names += ["augment_p"] if self.config.augment_target else []
        names += self.told
        self._means.update({name: keras.metrics.Mean(name) for name in names})

        # === Adaptive augmentation: its probability, and the running mean of D's signs that it follows ===
        if self.config.augment_target:
            self._probability, self._sign = (
                self.add_weight(shape=(), initializer="zeros", trainable=False, name=name, aggregation="mean")
                for name in ("augment_probability", "discriminator_sign"))
        self.built = True

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        if self.penalty:
            if contracts.mixes(self.discriminator, "BatchNormalization"):
                warnings.warn("a gradient penalty wants each example's own gradient, but batch normalisation in the "
                              "discriminator mixes them; dcgan has --set discriminator_normalization=none", stacklevel=2)
            self._means.setdefault("penalty", keras.metrics.Mean("penalty"))

    def pools(self, training):
        """Whether a loss, or in `training` a layer, compares examples across the batch: then its size is part of it."""
        around = training and self.penalty is not None and "around" in self.penalty.points
        layers = ("BatchNormalization", "Minibatch") if training else ("Minibatch",)
        return bool(self.objective.pooled or around or contracts.mixes(self.discriminator, *layers)
                    or contracts.mixes(self.generator, *layers))

    # === The alternating update ===

    def train_step(self, batch):
        """k updates of D, each on fresh real examples and fresh noise, then one of G on the last of that noise."""
        steps = self.config.discriminator_steps
        for draw, (real, given) in enumerate(zip(deal(self.real(batch), steps), deal(self.given(batch), steps))):
            noise = self.noise(len_of(real), draw)
            parts = self._parts(real, given, noise, draw)
            if len(parts) == 1:
                with tf.GradientTape() as tape:
                    fake = self.make(noise, given, self.generator, training=True)
                fakes = lambda *_: fake
            else:  # made anew for each update, part by part: keeping the tapes would keep the memory
                tape, fakes = None, lambda given, noise: self.make(noise, given, self.generator, training=True)
            self.minimize(lambda real, given, *rest: self.discriminator_loss(real, fakes(given, rest[0]), given, *rest),
                          "discriminator", parts)
        # D has changed since: G's loss is taken anew, on the tape that has seen G make `fake`
        self.minimize(lambda real, given, *rest: self.generator_loss(real, fakes(given, rest[0]), given, *rest),
                      "generator", parts, tape)
        self.update_averages()
        return self.results()

    def discriminator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        """What D minimises: the objective, the gradient penalty, consistency. `noise` is what `fake` was made from.

        `given`: dict of the fields that both were given: the i-th of `fake` was asked for what the i-th real example is.
        """
        if training:
            self.check("the real examples", real)
            self.check("the generated examples", fake)
        config, every = self.config, self.config.penalty_every
        penalised = self.penalty is not None and training
        due = self.discriminator_optimizer.iterations % every == 0 if every > 1 else True  # lazily, as StyleGAN2 does
        loss, slope, judged = self._judge(real, fake, given, draw, penalised, due, training)
        real_logits, fake_logits = judged["real"]["logits"], judged["fake"]["logits"]
        # in evaluation a smaller last batch counts as many times less
        count = None if training else tf.cast(len_of(real), tf.float32)
        self._means["d_loss"].update_state(loss, sample_weight=count)
        score = tf.sigmoid if self.objective.probability else tf.identity
        self._means["d_real"].update_state(score(real_logits))
        self._means["d_fake"].update_state(score(fake_logits))
        order = tf.sign(real_logits - fake_logits)  # which of a pair D takes for real
        self._means["d_accuracy"].update_state(0.5 + 0.5 * order)
        if penalised:
            self._means["penalty"].update_state(slope, sample_weight=tf.cast(due, tf.float32))
            loss += self.now(config.penalty_weight) * every * slope
        if config.drift_weight and training:
            weight = self.now(config.drift_weight)
            loss += weight * penalties.drift(real_logits, fake_logits)
        if config.consistency_weight and training:
            random = self.random(len_of(real), DISCRIMINATOR, draw, "consistency")
            changed = augment.augment(real, ("flip", "translation"), random.uniform)
            loss += config.consistency_weight * penalties.consistency(real_logits, self.logits(changed, given))
        if config.latent_consistency_weight and training:
            near = self.make(self._near(noise, draw), given, self.generator, training=True)
            loss += config.latent_consistency_weight * penalties.consistency(fake_logits, self.logits(near, given))
        if config.augment_target and training:
            self._adapt(tf.reduce_mean(order if self.objective.relativistic else tf.sign(real_logits)), len_of(real))
        loss += self.auxiliary(judged["real"], given) + self.auxiliary(judged["fake"], given, noise)
        return loss + self.self_supervision(real, judged["real"], given, draw) if training else loss

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        """What G minimises: the objective, latent diversity, content."""
        def judge(examples, name):
            return self.judge(self.view(examples, GENERATOR, draw, name) if training else examples, given, training)

        real_logits = judge(real, "real")["logits"] if self.objective.relativistic else None
        judged = judge(fake, "fake")
        loss = self.objective.generator(*self._compared(real_logits, judged["logits"]))
        self._means["g_loss"].update_state(loss, sample_weight=None if training else tf.cast(len_of(real), tf.float32))
        if self.config.latent_diversity_weight and training:
            near = self.make(self._near(noise, draw), given, self.generator, training=True)
            loss -= self.config.latent_diversity_weight * tf.reduce_mean((fake - near) ** 2)
        return loss + self.content(real, fake, given, judged) + self.auxiliary(judged, given, noise)

    def auxiliary(self, judged, given, noise=None):
        """What both networks minimise beside the objective, of one set of examples. Here nothing; see acgan and infogan.

        Args:
            judged: what D says of them, the dict of `judge`.
            given: what they were given, a dict of fields such as `label`: what they are, or were asked to be.
            noise: what they were made from; None: they are real. D minimises the sum of both, G that of its own.
        """
        return 0.0

    def self_supervision(self, real, judged, given, draw):
        """What D alone minimises beside the objective, in training, of real examples. Here nothing; see fastgan, gancls and infogan.

        Args:
            real: the examples as they are; judged, given: as for `auxiliary`.
            draw: for `random`: which of the step's updates of D this is.
        """
        return 0.0

    def content(self, real, fake, given, judged):
        """What G alone minimises beside the objective. Here nothing; see pix2pix.

        Args:
            real, fake: examples; the i-th of `fake` was made of what was given with the i-th of `real`.
            given, judged: as for `auxiliary`, of the fakes.
        """
        return 0.0

    def others(self, judged, given, training):
        """Logits of more examples that D is to call fake, a list; see gancls. The objective is the mean over them and the fakes.

        Args:
            judged, given: as for `auxiliary`, of the real examples.
        """
        return []

    def alarms(self):
        """More that kgan.callbacks.Watch is to look out for, a list of kgan.advice.Alarm."""
        return []

    def _judge(self, real, fake, given, draw, penalised, due, training):
        """The objective, the penalty (0 if not `penalised` or not `due`) and what D says, in one pass through it."""
        points = {"real": real, "fake": fake}
        random = self.random(len_of(real), DISCRIMINATOR, draw, "penalty")
        if penalised and "between" in self.penalty.points:
            points["between"] = penalties.between(real, fake, random)
        if penalised and "around" in self.penalty.points:
            points["around"] = penalties.around(real, random, deviation(real))
        with tf.GradientTape() as tape:
            tape.watch(points)
            judged = {name: self.judge(self.view(point, DISCRIMINATOR, draw, name) if training else point, given, training)
                      for name, point in points.items()}
            logits = {name: each["logits"] for name, each in judged.items()}
            sums = {name: tf.reduce_sum(values) for name, values in logits.items()}

        def slope():
            gradients = tape.gradient({name: sums[name] for name in self.penalty.points},
                                      {name: points[name] for name in self.penalty.points})
            return self.penalty.value([penalties.squared_norms(gradients[name], len_of(logits[name]))
                                       for name in self.penalty.points])

        if not penalised:
            value = tf.zeros([])
        elif due is True:
            value = slope()
        else:  # the condition holds no more than this: with several replicas no layer may update its state in one
            value = tf.cond(due, slope, lambda: tf.zeros([]))
        losses = [self.objective.discriminator(*self._compared(logits["real"], other))
                  for other in (logits["fake"], *self.others(judged["real"], given, training))]
        return losses[0] if len(losses) == 1 else tf.add_n(losses) / len(losses), value, judged

    def _compared(self, *logits):
        """The logits that an objective gets: where it compares examples across the batch, those of all replicas."""
        return joined(logits) if self.objective.pooled else logits

    def test_step(self, batch):
        """The losses on a batch that is not trained on, both networks in inference mode."""
        real, given = self.real(batch), self.given(batch)
        noise = self.noise(len_of(real), stream=VALIDATION)
        fake = self.make(noise, given, self.generator)
        self.discriminator_loss(real, fake, given, noise, training=False)
        self.generator_loss(real, fake, given, noise, training=False)
        return self.results("d_loss", "g_loss", "d_real", "d_fake", "d_accuracy")

    # === What a family measures ===

    def directions(self, given, real, made):
        """What callbacks.Watch looks at of a model that makes something of `input`: the end of a column's name -> (what was given,
        what was made of it, real ones), one for each direction that it learns. `made`: of `given`.
        """
        return {"": (given["input"], made, real)}

    measures = {}  # the names of `figures` -> whether a larger value is better

    def figures(self, evaluator, samples, asked=None):
        """What this family alone measures of its samples, beside the figures of kgan.metrics.Evaluator. Here nothing.

        Args:
            evaluator: kgan.metrics.Evaluator: `train` is the training split, `examples` the real ones (as they are stored),
                `given` what the samples were made of beside noise and label, one by one.
            samples: float32 [n, ...], as networks see them: one for each of the examples.
            asked: the labels that they were asked to be of, or None.

        Returns:
            dict of name to float, with the names of `measures`, which are columns of log.csv and rows of the tables.
        """
        return {}

    def real_figures(self, evaluator, examples, asked=None):
        """What `figures` gives of real examples, as if the GAN had made them: the tables' column `real`."""
        return self.figures(evaluator, examples, asked)

    # === The parts it is built from ===

    def _near(self, noise, draw):
        """Noise close to `noise`: of the same draw it is the same for D's loss and for G's."""
        random = self.random(len_of(noise), GENERATOR, draw, "near")
        return noise + self.config.latent_noise * random.normal(self.config.noise_dim)

    def view(self, examples, stream, draw, name):
        """What D gets to see of examples in training: with noise on them, augmented."""
        config = self.config
        random = self.random(len_of(examples), stream, draw, name)
        if config.instance_noise:
            noise = random.normal(*examples.shape[1:])
            examples += self.now(config.instance_noise) * noise
        if config.augment:
            probability = self._probability if config.augment_target else self.now(config.augment_probability)
            examples = augment.augment(examples, config.augmentations, random.uniform, probability)
        return examples

    def _adapt(self, sign, count):
        """Moves the probability of augmentation: up where D(x) is positive for too many real examples, else down."""
        self._sign.assign(0.9 * self._sign + 0.1 * sign)
        self._probability.assign(augment.adapt(tf.convert_to_tensor(self._probability), tf.convert_to_tensor(self._sign),
                                               self.config.augment_target, count * replicas(), self.config.augment_images))
        self._means["augment_p"].update_state(self._probability)

    def judging(self):
        """The discriminator of this step: stackgan has two, one after the other."""
        return self.discriminator

    def logits(self, examples, given=None, training=True):
        """D's logits of examples, float32 whatever the precision policy; with packing m, one for each m of them."""
        return self.judge(examples, given, training)["logits"]

    def judge(self, examples, given=None, training=True):
        """What D says of examples, with the given fields that it looks at: a dict of float32, `logits` [n, …] among them.

        `given`: dict; what is no dict counts as labels.
        """
        m = self.config.packing
        if m > 1:
            # no transposition: inside the condition of a lazy penalty XLA cannot compile the gradient of one
            examples = tf.concat(tf.unstack(tf.reshape(examples, [-1, m, *examples.shape[1:]]), axis=1), axis=-1)
        given = given if isinstance(given, dict) else {} if given is None else {"label": given}
        given = {name: tf.cast(values, tf.int32) if name == "label" else tf.convert_to_tensor(values)
                 for name, values in given.items()}
        network = self.judging()
        judged = network(feed(network, self.key, {self.key: tf.convert_to_tensor(examples), **given}), training=training)
        judged = judged if isinstance(judged, dict) else {"logits": judged}
        return {name: tf.cast(values, tf.float32) for name, values in judged.items()}

    def _parts(self, real, given, noise, draw):
        """A share of D's, cut for accumulation: [(real, given, noise, draw)], each part with a `draw` of its own."""
        count = self.config.accumulation
        if count == 1:
            return [(real, given, noise, draw)]
        if real.shape[0] is None or real.shape[0] % count:
            raise ValueError(f"{real.shape[0] or 'an unknown number of'} examples cannot be cut into "
                             f"accumulation={count} parts (tf.data: batch(n, drop_remainder=True))")
        return [(*tf.nest.map_structure(lambda values: values[i::count], (real, given, noise)), draw * count + i)
                for i in range(count)]

def deal(values, steps):
    """A batch, dealt out like cards to `steps` updates of D: the same examples meet however many replicas share it.

    Args:
        values: tensor [n, …], or a dict of such.

    Returns:
        list of such.
    """
    tensors = tf.nest.flatten(values)
    size = tensors[0].shape[0] if tensors else 0
    if steps > 1 and (size is None or size % steps):
        raise ValueError(f"a batch of {size or 'an unknown number of'} examples cannot be dealt out to "
                         f"discriminator_steps={steps} updates: it must be a multiple of {steps} "
                         "(tf.data: batch(n, drop_remainder=True))")
    if steps == 1:
        return [values]
    return [tf.nest.map_structure(lambda tensor: tensor[i::steps], values) for i in range(steps)]
