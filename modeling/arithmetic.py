"""Compiled arithmetic of a vector: what the blocks of every network are made of.

Plain float32 without fast-math: a sum is taken in the same order wherever it is compiled, so that a loop over rows
and a call per row give the same bytes. A division by zero gives what IEEE says: a check would forbid vectors.
Weights lie in one array; ``at`` says where.
"""

import math
from typing import Final

import numpy as np
from numba import njit

_ZERO: Final = np.float32(0.0)
_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1.0)
_EPSILON: Final = np.float32(1e-5)  # torch's LayerNorm
_SQRT_HALF: Final = np.float32(math.sqrt(0.5))
_ERF_END: Final = np.float32(4.0)  # beyond it the error function is 1 in float32
# erf(x) = x P(x^2) / Q(x^2), highest power first; within 2e-7 of the function.
# Source: Eigen, MathFunctionsImpl.h, the rational approximation of erf in float
_P: Final = tuple(
    np.float32(c)
    for c in (
        -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
        -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
    )
)  # fmt: skip
_Q: Final = tuple(
    np.float32(c)
    for c in (
        -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
        -1.42647390514189e-02,
    )
)  # fmt: skip


@njit(cache=True, error_model="numpy")
def start(weights, at, inputs, out):
    """Put the bias, which follows ``inputs`` rows of weights, into ``out``."""
    bias = weights[at + inputs * out.size : at + (inputs + 1) * out.size]
    for o in range(out.size):
        out[o] = bias[o]


@njit(cache=True, error_model="numpy")
def accumulate(weights, at, inputs, out):
    """Add ``inputs @ W`` to ``out``; four rows of W at a time, to touch ``out`` less.

    Rows are sliced, so that the compiler sees indices without wrap-around and vectorises.
    """
    size, whole = out.size, inputs.size - inputs.size % 4
    for i in range(0, whole, 4):
        rows = weights[at + i * size : at + (i + 4) * size]
        w0, w1, w2, w3 = rows[:size], rows[size : 2 * size], rows[2 * size : 3 * size], rows[3 * size :]
        x0, x1, x2, x3 = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for o in range(size):
            out[o] += (x0 * w0[o] + x1 * w1[o]) + (x2 * w2[o] + x3 * w3[o])
    for i in range(whole, inputs.size):
        w0, x0 = weights[at + i * size : at + (i + 1) * size], inputs[i]
        for o in range(size):
            out[o] += x0 * w0[o]


@njit(cache=True, error_model="numpy")
def linear(weights, at, inputs, out):
    """``inputs @ W + b`` into ``out``; returns where the weights end."""
    start(weights, at, inputs.size, out)
    accumulate(weights, at, inputs, out)
    return at + (inputs.size + 1) * out.size


@njit(cache=True, error_model="numpy")
def normalise(weights, at, x, out):
    """LayerNorm over channels, its gain and shift at ``at``, into ``out``; returns where the weights end."""
    gain, shift = weights[at : at + x.size], weights[at + x.size : at + 2 * x.size]
    total = squares = 0.0
    for o in range(x.size):
        value = float(x[o])
        total += value
        squares += value * value
    mean = total / x.size
    scale = np.float32(1.0 / math.sqrt(max(squares / x.size - mean * mean, 0.0) + _EPSILON))
    offset = np.float32(mean)
    for o in range(x.size):
        out[o] = (x[o] - offset) * scale * gain[o] + shift[o]
    return at + 2 * x.size


@njit(cache=True, error_model="numpy")
def gelu(x):
    """GELU by the error function, in place; the loop holds no call, so that it vectorises."""
    for o in range(x.size):
        y = x[o]
        t = min(max(y * _SQRT_HALF, -_ERF_END), _ERF_END)
        u = t * t
        p = _P[0]
        p = p * u + _P[1]
        p = p * u + _P[2]
        p = p * u + _P[3]
        p = p * u + _P[4]
        p = p * u + _P[5]
        p = p * u + _P[6]
        q = _Q[0]
        q = q * u + _Q[1]
        q = q * u + _Q[2]
        q = q * u + _Q[3]
        q = q * u + _Q[4]
        x[o] = _HALF * y * (_ONE + t * p / q)


@njit(cache=True, error_model="numpy")
def softmax(x):
    """Softmax in place."""
    highest = x[0]
    for i in range(1, x.size):
        highest = max(highest, x[i])
    total = _ZERO
    for i in range(x.size):
        x[i] = math.exp(x[i] - highest)
        total += x[i]
    for i in range(x.size):
        x[i] /= total


@njit(cache=True, error_model="numpy")
def sigmoid(x):
    """The logistic function of a number."""
    return _ONE / (_ONE + math.exp(-x))
