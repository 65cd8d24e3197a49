"""Compiled arithmetic of one new row through a dilated causal network; ``streaming`` lays the memory out.

Plain float32 without fast-math: a sum is taken in the same order wherever it is compiled, so that a loop over rows
and a call per row give the same bytes.
"""

import math
from typing import Final

import numpy as np
from numba import njit

# row 0 of a layout
FEATURES: Final = 0
WIDTH: Final = 1
KERNEL: Final = 2
BRANCHES: Final = 3
DEPTH: Final = 4
CELLS: Final = 5
HORIZONS: Final = 6
RECEPTIVE: Final = 7
# the other rows: for each branch its projection, then its blocks; the head's fusion; the two outputs
WEIGHTS: Final = 0  # where the layer's weights begin
INPUTS: Final = 1  # numbers that it reads
DILATION: Final = 2  # rows between two taps; of a projection: where its columns begin
RING: Final = 3  # where its ring begins
RING_ROWS: Final = 4
LAYOUT_COLUMNS: Final = 8

_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1.0)
_EPSILON: Final = np.float32(1e-5)  # torch's LayerNorm
_SQRT_HALF: Final = np.float32(math.sqrt(0.5))


@njit(cache=True)
def _start(weights, at, rows, out, size):
    """Put the bias, which follows ``rows`` rows of weights, into ``out``."""
    bias = at + rows * size
    for o in range(size):
        out[o] = weights[bias + o]


@njit(cache=True)
def _accumulate(weights, at, inputs, first, count, out, size):
    """Add ``inputs[first : first + count] @ W`` to ``out``; four rows of W at a time, to touch ``out`` less."""
    whole = count - count % 4
    for i in range(0, whole, 4):
        row = at + i * size
        x0, x1 = inputs[first + i], inputs[first + i + 1]
        x2, x3 = inputs[first + i + 2], inputs[first + i + 3]
        for o in range(size):
            out[o] += (x0 * weights[row + o] + x1 * weights[row + size + o]) + (
                x2 * weights[row + 2 * size + o] + x3 * weights[row + 3 * size + o]
            )
    for i in range(whole, count):
        row = at + i * size
        x0 = inputs[first + i]
        for o in range(size):
            out[o] += x0 * weights[row + o]


@njit(cache=True)
def _normalise_gelu(weights, at, x, size):
    """LayerNorm over channels, its gain and shift at ``at``, then GELU by the error function, in place."""
    total, squares = 0.0, 0.0
    for o in range(size):
        total += x[o]
    mean = np.float32(total / size)
    for o in range(size):
        x[o] -= mean
        squares += x[o] * x[o]
    scale = _ONE / np.float32(math.sqrt(squares / size + _EPSILON))
    for o in range(size):
        y = x[o] * scale * weights[at + o] + weights[at + size + o]
        x[o] = _HALF * y * (_ONE + math.erf(y * _SQRT_HALF))


@njit(cache=True)
def _branch(weights, layout, columns, branch, count, rings, scratch, row):
    """The newest row of one branch, left at the start of its part of ``scratch``."""
    size, taps, depth = layout[0, WIDTH], layout[0, KERNEL], layout[0, DEPTH]
    first = 1 + branch * (depth + 1)
    x, y, picked = scratch[branch], scratch[-2], scratch[-1]
    inputs, begin = layout[first, INPUTS], layout[first, DILATION]
    for i in range(inputs):
        picked[i] = row[columns[begin + i]]
    _start(weights, layout[first, WEIGHTS], inputs, x, size)
    _accumulate(weights, layout[first, WEIGHTS], picked, 0, inputs, x, size)
    for layer in range(first + 1, first + 1 + depth):
        at, ring, ring_rows = layout[layer, WEIGHTS], layout[layer, RING], layout[layer, RING_ROWS]
        newest = count % ring_rows
        for o in range(size):
            rings[ring + newest * size + o] = x[o]
        _start(weights, at, taps * size, y, size)
        for tap in range(taps):
            place = newest - (taps - 1 - tap) * layout[layer, DILATION]
            if place < 0:
                place += ring_rows
            _accumulate(weights, at + tap * size * size, rings, ring + place * size, size, y, size)
        _normalise_gelu(weights, at + (taps * size + 1) * size, y, size)
        for o in range(size):
            x[o] += y[o]


@njit(cache=True)
def calibrated_softmax(scores, first, calibration, cell, out):
    """Write the calibrated probabilities of three scores to ``out[first:]``."""
    highest = max(scores[first], scores[first + 1], scores[first + 2])
    total = 0.0
    for c in range(3):
        total += math.exp(float(scores[first + c] - highest))
    log_total = math.log(total)
    a = (float(scores[first] - highest) - log_total) * calibration[0, cell, 0] + calibration[1, cell, 0]
    b = (float(scores[first + 1] - highest) - log_total) * calibration[0, cell, 1] + calibration[1, cell, 1]
    c = (float(scores[first + 2] - highest) - log_total) * calibration[0, cell, 2] + calibration[1, cell, 2]
    top = max(a, b, c)
    a, b, c = math.exp(a - top), math.exp(b - top), math.exp(c - top)
    out[first] = a / (a + b + c)
    out[first + 1] = b / (a + b + c)
    out[first + 2] = c / (a + b + c)


@njit(cache=True)
def _heads(weights, layout, calibration, scratch, forecast):
    """Fuse the branches and write the forecast."""
    size, branches = layout[0, WIDTH], layout[0, BRANCHES]
    cells, horizons = layout[0, CELLS], layout[0, HORIZONS]
    fuse = 1 + branches * (layout[0, DEPTH] + 1)
    y, scores = scratch[-2], scratch[-1]
    at = layout[fuse, WEIGHTS]
    _start(weights, at, branches * size, y, size)
    for branch in range(branches):
        _accumulate(weights, at + branch * size * size, scratch[branch], 0, size, y, size)
    _normalise_gelu(weights, at + (branches * size + 1) * size, y, size)
    _start(weights, layout[fuse + 1, WEIGHTS], size, scores, 3 * cells)
    _accumulate(weights, layout[fuse + 1, WEIGHTS], y, 0, size, scores, 3 * cells)
    for cell in range(cells):
        calibrated_softmax(scores, 3 * cell, calibration, cell, forecast)
    _start(weights, layout[fuse + 2, WEIGHTS], size, scores, 3 * horizons)
    _accumulate(weights, layout[fuse + 2, WEIGHTS], y, 0, size, scores, 3 * horizons)
    for i in range(3 * horizons):
        forecast[3 * cells + i] = scores[i]


@njit(cache=True)
def finish(forecast):
    """Set ready, or clear a forecast that holds a number which is not finite."""
    total = np.float32(0.0)
    for i in range(forecast.size - 1):
        total += forecast[i]
    if math.isfinite(total):
        forecast[-1] = _ONE
    else:
        forecast[:] = 0


@njit(cache=True)
def network_step(model, state, row, valid):
    """Take in one row and write the state's forecast; an invalid row starts the network's memory anew."""
    weights, layout, columns, calibration = model
    rings, scratch, forecast, seen = state
    forecast[:] = 0
    if not valid:
        seen[0] = 0
        return
    for branch in range(layout[0, BRANCHES]):
        _branch(weights, layout, columns, branch, seen[0], rings, scratch, row)
    seen[0] += 1
    if seen[0] >= layout[0, RECEPTIVE]:
        _heads(weights, layout, calibration, scratch, forecast)
        finish(forecast)


@njit(cache=True)
def network_run(model, state, values, valid, forecasts):
    """``network_step`` for each row of a table."""
    for i in range(values.shape[0]):
        network_step(model, state, values[i], valid[i])
        forecasts[i] = state[2]


@njit(cache=True)
def band_step(model, state, row, valid):
    """Forecast of a median regression: one linear form a horizon, a table a cell."""
    linear, bands, tables, returns, horizon_of_cell = model
    forecast = state[0]
    forecast[:] = 0
    if not valid:
        return
    cells, horizons, features = tables.shape[0], linear.shape[0], linear.shape[1] - 1
    for cell in range(cells):
        horizon = horizon_of_cell[cell]
        median = linear[horizon, features]
        for i in range(features):
            median += linear[horizon, i] * row[i]
        side = 2 if median > bands[cell] else (0 if median < -bands[cell] else 1)
        for c in range(3):
            forecast[3 * cell + c] = tables[cell, side, c]
    for horizon in range(horizons):
        for c in range(3):
            forecast[3 * (cells + horizon) + c] = returns[horizon, c]
    finish(forecast)


@njit(cache=True)
def band_run(model, state, values, valid, forecasts):
    """``band_step`` for each row of a table."""
    for i in range(values.shape[0]):
        band_step(model, state, values[i], valid[i])
        forecasts[i] = state[0]
