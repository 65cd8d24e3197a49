"""Compiled arithmetic of one new row through a dilated causal network; ``streaming`` lays the memory out.

Plain float32 without fast-math: a sum is taken in the same order wherever it is compiled, so that a loop over rows
and a call per row give the same bytes.
"""

import math
from typing import Final

import numpy as np
from numba import njit

# row 0 of a layout
WIDTH: Final = 0
KERNEL: Final = 1
BRANCHES: Final = 2
DEPTH: Final = 3
CELLS: Final = 4
RECEPTIVE: Final = 5
# the other rows: for each branch its projection, then its blocks; the head's fusion; the two outputs
WEIGHTS: Final = 0  # where the layer's weights begin
INPUTS: Final = 1  # numbers that it reads
DILATION: Final = 2  # rows between two taps; of a projection: where its columns begin
RING: Final = 3  # where its ring begins
RING_ROWS: Final = 4
LAYOUT_COLUMNS: Final = 6

_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1.0)
_EPSILON: Final = np.float32(1e-5)  # torch's LayerNorm
_SQRT_HALF: Final = np.float32(math.sqrt(0.5))


@njit(cache=True)
def _start(weights, at, rows, out):
    """Put the bias, which follows ``rows`` rows of weights, into ``out``."""
    bias = weights[at + rows * out.size :]
    for o in range(out.size):
        out[o] = bias[o]


@njit(cache=True)
def _accumulate(weights, at, inputs, out):
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


@njit(cache=True)
def _normalise_gelu(weights, at, x):
    """LayerNorm over channels, its gain and shift at ``at``, then GELU by the error function, in place."""
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
        y = (x[o] - offset) * scale * gain[o] + shift[o]
        x[o] = _HALF * y * (_ONE + math.erf(y * _SQRT_HALF))


@njit(cache=True)
def _branch(weights, layout, columns, branch, count, rings, scratch, row):
    """The newest row of one branch, left at the start of its part of ``scratch``."""
    size, taps, depth = layout[0, WIDTH], layout[0, KERNEL], layout[0, DEPTH]
    first = 1 + branch * (depth + 1)
    x, y, picked = scratch[branch, :size], scratch[-2, :size], scratch[-1, : layout[first, INPUTS]]
    for i in range(picked.size):
        picked[i] = row[columns[layout[first, DILATION] + i]]
    _start(weights, layout[first, WEIGHTS], picked.size, x)
    _accumulate(weights, layout[first, WEIGHTS], picked, x)
    for layer in range(first + 1, first + 1 + depth):
        at, ring_rows = layout[layer, WEIGHTS], layout[layer, RING_ROWS]
        ring = rings[layout[layer, RING] : layout[layer, RING] + ring_rows * size]
        newest = count % ring_rows
        ring[newest * size : (newest + 1) * size] = x
        _start(weights, at, taps * size, y)
        for tap in range(taps):
            place = newest - (taps - 1 - tap) * layout[layer, DILATION]
            if place < 0:
                place += ring_rows
            _accumulate(weights, at + tap * size * size, ring[place * size : (place + 1) * size], y)
        _normalise_gelu(weights, at + (taps * size + 1) * size, y)
        for o in range(size):
            x[o] += y[o]


@njit(cache=True)
def calibrated_softmax(scores, first, calibration, cell, out):
    """Write the calibrated probabilities of three scores to ``out[first:]``."""
    highest, total = max(scores[first], scores[first + 1], scores[first + 2]), 0.0
    for c in range(3):
        total += math.exp(scores[first + c] - highest)
    log_total = np.float32(math.log(total))
    for c in range(3):
        log_p = scores[first + c] - highest - log_total
        out[first + c] = log_p * calibration[0, cell, c] + calibration[1, cell, c]
    highest, total = max(out[first], out[first + 1], out[first + 2]), 0.0
    for c in range(3):
        out[first + c] = math.exp(out[first + c] - highest)
        total += out[first + c]
    for c in range(3):
        out[first + c] /= total


@njit(cache=True)
def _heads(weights, layout, calibration, scratch, forecast):
    """Fuse the branches and write the forecast."""
    size, branches, cells = layout[0, WIDTH], layout[0, BRANCHES], layout[0, CELLS]
    fuse = 1 + branches * (layout[0, DEPTH] + 1)
    y, scores, returns = scratch[-2, :size], scratch[-1, : 3 * cells], forecast[3 * cells : -1]
    at = layout[fuse, WEIGHTS]
    _start(weights, at, branches * size, y)
    for branch in range(branches):
        _accumulate(weights, at + branch * size * size, scratch[branch, :size], y)
    _normalise_gelu(weights, at + (branches * size + 1) * size, y)
    _start(weights, layout[fuse + 1, WEIGHTS], size, scores)
    _accumulate(weights, layout[fuse + 1, WEIGHTS], y, scores)
    for cell in range(cells):
        calibrated_softmax(scores, 3 * cell, calibration, cell, forecast)
    _start(weights, layout[fuse + 2, WEIGHTS], size, returns)
    _accumulate(weights, layout[fuse + 2, WEIGHTS], y, returns)


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
