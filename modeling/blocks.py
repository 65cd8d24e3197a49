"""Compiled blocks of the networks: each takes in the newest row of a branch, remembers what it needs, and answers.

``x`` is the branch's row, changed in place; ``count`` the rows seen before this one since the last restart; ``weights``
begin at the layer's row in the layout, in the order of ``modeling.architecture``.
"""

import math

import numpy as np
from numba import njit

from modeling.arithmetic import accumulate, gelu, linear, normalise, sigmoid, softmax, start
from modeling.layout import (
    BAND_ROWS,
    COLUMNS_AT,
    DILATION,
    HEADS,
    HIDDEN,
    INPUTS,
    MEMORY,
    RING_ROWS,
    TAPS,
    WEIGHTS,
)


@njit(cache=True, error_model="numpy")
def project(weights, layer, columns, row, picked, x):
    """The branch's columns of a row, through its projection, into ``x``."""
    picked = picked[: layer[INPUTS]]
    for i in range(picked.size):
        picked[i] = row[columns[layer[COLUMNS_AT] + i]]
    linear(weights, layer[WEIGHTS], picked, x)


@njit(cache=True, error_model="numpy")
def reach_back(weights, layer, count, memory, size):
    """What the bias and all taps but the newest bring to the next row, kept behind the ring."""
    ring_rows, at = layer[RING_ROWS], layer[WEIGHTS]
    end = layer[MEMORY] + ring_rows * size
    ring, older = memory[layer[MEMORY] : end], memory[end : end + size]
    start(weights, at, layer[TAPS] * size, older)
    for tap in range(layer[TAPS] - 1):
        place = count % ring_rows - (layer[TAPS] - 1 - tap) * layer[DILATION]
        if place < 0:
            place += ring_rows
        accumulate(weights, at + tap * size * size, ring[place * size : (place + 1) * size], older)


@njit(cache=True, error_model="numpy")
def dilated(weights, layer, count, memory, scratch, x):
    """Residual convolution behind a ``reach_back``: a ring holds as many rows as the taps reach back."""
    size, ring_rows, taps = x.size, layer[RING_ROWS], layer[TAPS]
    end = layer[MEMORY] + ring_rows * size
    newest = layer[MEMORY] + count % ring_rows * size
    memory[newest : newest + size] = x
    y, at = scratch[0, :size], layer[WEIGHTS]
    y[:] = memory[end : end + size]
    accumulate(weights, at + (taps - 1) * size * size, x, y)
    normalise(weights, at + (taps * size + 1) * size, y, y)
    gelu(y)
    for o in range(size):
        x[o] += y[o]


@njit(cache=True, error_model="numpy")
def attention(weights, layer, count, memory, scratch, x):
    """Attention over the newest rows of the band, then the feed-forward part, both residual.

    Keys lie channel by channel and values head by head, so that both products run along the memory.
    """
    size, band = x.size, layer[BAND_ROWS]
    y, qkv, mixed = scratch[0, :size], scratch[1, : 3 * size], scratch[2, :size]
    at = normalise(weights, layer[WEIGHTS], x, y)
    at = linear(weights, at, y, qkv)
    _remember(memory, layer, count % band, qkv)
    _attend(weights, at, layer, count % band, memory, qkv[:size], scratch[3, :band], mixed)
    at = linear(weights, at + layer[HEADS] * band, mixed, y)
    for o in range(size):
        x[o] += y[o]
    hidden = scratch[1, : layer[HIDDEN]]
    at = normalise(weights, at, x, y)
    at = linear(weights, at, y, hidden)
    gelu(hidden)
    linear(weights, at, hidden, y)
    for o in range(size):
        x[o] += y[o]


@njit(cache=True, error_model="numpy")
def _remember(memory, layer, newest, qkv):
    """Write the newest key and value over the oldest."""
    size, band = qkv.size // 3, layer[BAND_ROWS]
    keys = memory[layer[MEMORY] : layer[MEMORY] + size * band]
    values = memory[layer[MEMORY] + size * band : layer[MEMORY] + 2 * size * band]
    each = size // layer[HEADS]
    for o in range(size):
        head = o // each
        keys[o * band + newest] = qkv[size + o]
        values[head * band * each + newest * each + o - head * each] = qkv[2 * size + o]


@njit(cache=True, error_model="numpy")
def _attend(weights, at, layer, newest, memory, query, scores, out):
    """What each head reads from the band; ``at`` is where the biases by distance lie, a row a head."""
    band, each = layer[BAND_ROWS], query.size // layer[HEADS]
    values_at = layer[MEMORY] + query.size * band
    scale = np.float32(1.0 / math.sqrt(each))
    for o in range(query.size):
        query[o] *= scale
    out[:] = 0
    for head in range(layer[HEADS]):
        bias = weights[at + head * band : at + (head + 1) * band]
        for place in range(newest + 1):
            scores[place] = bias[newest - place]
        for place in range(newest + 1, band):
            scores[place] = bias[newest - place + band]
        part = slice(head * each, (head + 1) * each)
        accumulate(memory, layer[MEMORY] + head * each * band, query[part], scores)
        softmax(scores)
        accumulate(memory, values_at + head * each * band, scores, out[part])


@njit(cache=True, error_model="numpy")
def recurrent(weights, layer, count, memory, scratch, x):
    """Gated recurrent unit as torch computes it; its hidden state is its output."""
    size = x.size
    hidden = memory[layer[MEMORY] : layer[MEMORY] + size]
    if count == 0:
        hidden[:] = 0
    new, old = scratch[0, : 3 * size], scratch[1, : 3 * size]
    at = linear(weights, layer[WEIGHTS], x, new)
    linear(weights, at, hidden, old)
    for o in range(size):
        reset, update = sigmoid(new[o] + old[o]), sigmoid(new[size + o] + old[size + o])
        fresh = math.tanh(new[2 * size + o] + reset * old[2 * size + o])
        hidden[o] = fresh + update * (hidden[o] - fresh)
        x[o] = hidden[o]
