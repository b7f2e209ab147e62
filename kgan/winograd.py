"""Convolutions of 4×4 kernels with stride 2, and transposed ones, by nine products for sixteen: Winograd's F(2×2, 2×2).

Winograd 1980, "Arithmetic Complexity of Computations"; Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", arXiv:1509.09308. Over squares of 2×2 pixels, of 4C channels, a 4×4 kernel with stride 2 is a 2×2 kernel with
stride 1. Along one axis two of its outputs are, of the squares d, with the kernel g,

    d0 g0 + d1 g1 = (d0 - d1) g0 + d1 (g0 + g1)
    d1 g0 + d2 g1 = d1 (g0 + g1) - (d1 - d2) g1

that is, three products for four, and along both axes nine for sixteen. What is added before and after costs passes over the
maps, so this wins where channels are many. Each of the three linear maps around the products (of the maps, of the kernel,
of the products) has its transpose beside it, which is its gradient, and what the transposed convolution needs: so gradients
are nine products too, and can be differentiated in their turn. XLA makes each of these maps a few passes over memory.
"""
import functools

import tensorflow as tf


def convolution(x, kernel):
    """x [n, 2h, 2w, c], kernel [4, 4, c, d] -> [n, h, w, d], padding "same"; float32, h and w even and known."""
    return _sum(*map(_product, _tiles(_squares(x)), _kernels(kernel)))


def transposed(x, kernel):
    """x [n, h, w, d], kernel [4, 4, c, d] -> [n, 2h, 2w, c]: the gradient of `convolution` by its maps."""
    products = map(functools.partial(_product, transpose_b=True), _spread(x), _kernels(kernel))
    return _pixels(_overlap(*products))


def _product(maps, matrix, transpose_b=False):
    """[n, h, w, p] and [p, q], or transposed [q, p], -> [n, h, w, q]."""
    rows = tf.matmul(tf.reshape(maps, [-1, maps.shape[-1]]), matrix, transpose_b=transpose_b)
    return tf.reshape(rows, [-1, *maps.shape[1:3], rows.shape[-1]])


# === The linear maps along one axis: one tensor to three, three to one ===

def _tile(x, axis):
    """2t + 1 squares -> t tiles of three, which overlap by one."""
    first, middle, last = _part(x, axis, 0, -1, 2), _part(x, axis, 1, None, 2), _part(x, axis, 2, None, 2)
    return first - middle, middle, middle - last


def _untile(first, middle, last, axis):
    behind, before = ([[0, 0]] * axis + [ends] + [[0, 0]] * (3 - axis) for ends in ([0, 1], [1, 0]))
    joined = _interleave(tf.pad(first, behind) - tf.pad(last, before), tf.pad(middle + last - first, behind), axis)
    return _part(joined, axis, 0, -1)


def _halve(x, axis):
    """Two of the outputs, transposed."""
    even, odd = _part(x, axis, 0, None, 2), _part(x, axis, 1, None, 2)
    return even, even + odd, -odd


def _unhalve(first, middle, last, axis):
    return _interleave(first + middle, middle - last, axis)


def _split(kernel, axis):
    first, second = _part(kernel, axis, 0, 2), _part(kernel, axis, 2, 4)
    return first, first + second, second


def _unsplit(first, middle, last, axis):
    return tf.concat([first + middle, middle + last], axis)


def _part(x, axis, *places):
    return x[(slice(None),) * axis + (slice(*places),)]


def _interleave(even, odd, axis):
    shape = even.shape
    return tf.reshape(tf.stack([even, odd], axis + 1), [-1, *shape[1:axis], 2 * shape[axis], *shape[axis + 1:]])


# === Along both, with gradients ===

def _apart(one, axes):
    """A function from a tensor to the nine of both axes."""
    return lambda x: [piece for part in one(x, axes[0]) for piece in one(part, axes[1])]


def _together(one, axes):
    """A function from nine tensors to one."""
    return lambda *x: one(*(one(*x[i:i + 3], axes[1]) for i in (0, 3, 6)), axes[0])


def _pair(one, other):
    """Linear functions of which each is the other's transpose, as functions that know it."""
    def knowing(linear, transpose):
        return tf.custom_gradient(lambda *x: (linear(*x), lambda *slopes: knowing(transpose, linear)(*slopes)))

    return knowing(one, other), knowing(other, one)


_compiled = functools.partial(tf.function, jit_compile=True)
# the squares are laid out apart from what takes them in: XLA would do it anew for each of nine, slowly
_squares, _pixels = _pair(lambda x: tf.nn.space_to_depth(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2),
                          lambda squares: tf.nn.depth_to_space(squares, 2)[:, 1:-1, 1:-1])
_tiles, _overlap = _pair(_compiled(_apart(_tile, (1, 2))), _compiled(_together(_untile, (1, 2))))
_spread, _sum = _pair(_compiled(_apart(_halve, (1, 2))), _compiled(_together(_unhalve, (1, 2))))
_kernels, _ = _pair(
    _compiled(lambda kernel: [tf.reshape(piece, [-1, piece.shape[-1]]) for piece in _apart(_split, (0, 1))(kernel)]),
    _compiled(lambda *x: _together(_unsplit, (0, 1))(*(tf.reshape(piece, [2, 2, -1, piece.shape[-1]]) for piece in x))))
