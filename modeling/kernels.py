"""Compiled forecasters: one new row through a network's members, or through a median regression."""

import math
from typing import Final

import numpy as np
from numba import njit

from modeling.arithmetic import accumulate, gelu, linear, normalise, start
from modeling.blocks import attention, dilated, project, reach_back, recurrent
from modeling.layout import (
    ATTENTION,
    CELLS,
    DEPTH,
    DILATED,
    DIRECT,
    FIRST,
    HORIZONS,
    KIND,
    MEMBER_BRANCHES,
    MEMBERS,
    RECEPTIVE,
    WEIGHTS,
    WIDTH,
)

_ZERO: Final = np.float32(0.0)
_ONE: Final = np.float32(1.0)
PREPARED: Final = 1  # place behind the count of valid rows: whether the next row's step has begun
SCRATCH: Final = 4  # rows of scratch that the blocks work in; the branches' follow
_SMALLEST: Final = 1e-12  # as modeling.calibration reads a probability


@njit(cache=True, error_model="numpy")
def network_step(model, state, row, valid):
    """Take in one row and write the state's forecast and its members'.

    A row that is invalid, or holds a number that is not finite, starts the networks' memory anew.
    """
    weights, layout, columns, calibration, shares = model
    memory, scratch, forecast, seen, members = state
    forecast[:] = 0
    members[:] = 0
    if not valid or not _finite(row):
        seen[:] = 0
        return
    prepare_step(model, state)
    ready = seen[0] + 1 >= layout[0, RECEPTIVE]
    for member in range(layout[0, MEMBERS]):
        _branches(weights, layout, member, columns, seen[0], memory, scratch, row)
        if ready:
            _heads(weights, layout, member, row, scratch, members[member])
    seen[0], seen[PREPARED] = seen[0] + 1, 0
    if ready:
        _pool(layout, members, columns, shares, forecast)
        _calibrate(calibration, forecast)
        for member in range(layout[0, MEMBERS]):
            _calibrate(calibration, members[member])
            finish(members[member])
        _spread(layout, members, columns, shares, forecast)
        finish(forecast)
        if forecast[-1] == 0:
            seen[0] = 0


@njit(cache=True, error_model="numpy")
def prepare_step(model, state):
    """Do that part of the next row's step which does not depend on it, unless it is done."""
    weights, layout, _, _, _ = model
    memory, seen = state[0], state[3]
    if seen[PREPARED]:
        return
    for member in range(layout[0, MEMBERS]):
        at, size = layout[1 + member, FIRST], layout[1 + member, WIDTH]
        for _ in range(layout[1 + member, MEMBER_BRANCHES]):
            for layer in range(at + 1, at + 1 + layout[1 + member, DEPTH]):
                if layout[layer, KIND] == DILATED:
                    reach_back(weights, layout[layer], seen[0], memory, size)
            at += 1 + layout[1 + member, DEPTH]
    seen[PREPARED] = 1


@njit(cache=True, error_model="numpy")
def _finite(row):
    total = _ZERO
    for i in range(row.size):
        total += row[i] * _ZERO
    return total == 0


@njit(cache=True, error_model="numpy")
def _branches(weights, layout, member, columns, count, memory, scratch, row):
    """The newest row of each branch of a member, left in the rows of ``scratch`` behind the blocks' own."""
    at, size = layout[1 + member, FIRST], layout[1 + member, WIDTH]
    for branch in range(layout[1 + member, MEMBER_BRANCHES]):
        x = scratch[SCRATCH + branch, :size]
        project(weights, layout[at], columns, row, scratch[0], x)
        for layer in range(at + 1, at + 1 + layout[1 + member, DEPTH]):
            if layout[layer, KIND] == DILATED:
                dilated(weights, layout[layer], count, memory, scratch, x)
            elif layout[layer, KIND] == ATTENTION:
                attention(weights, layout[layer], count, memory, scratch, x)
            else:
                recurrent(weights, layout[layer], count, memory, scratch, x)
        at += 1 + layout[1 + member, DEPTH]


@njit(cache=True, error_model="numpy")
def _heads(weights, layout, member, row, scratch, forecast):
    """Fuse the branches of a member and write its forecast, not calibrated."""
    size, branches, cells = layout[1 + member, WIDTH], layout[1 + member, MEMBER_BRANCHES], layout[0, CELLS]
    returns = forecast[3 * cells : 3 * (cells + layout[0, HORIZONS])]
    fuse = layout[1 + member, FIRST] + branches * (1 + layout[1 + member, DEPTH])
    y, at = scratch[0, :size], layout[fuse, WEIGHTS]
    start(weights, at, branches * size, y)
    for branch in range(branches):
        accumulate(weights, at + branch * size * size, scratch[SCRATCH + branch, :size], y)
    normalise(weights, at + (branches * size + 1) * size, y, y)
    gelu(y)
    linear(weights, layout[fuse + 1, WEIGHTS], y, forecast[: 3 * cells])
    linear(weights, layout[fuse + 2, WEIGHTS], y, returns)
    if layout[1 + member, DIRECT]:
        accumulate(weights, layout[fuse + 3, WEIGHTS], row, forecast[: 3 * cells])
    for cell in range(cells):
        _softmax3(forecast[3 * cell : 3 * cell + 3])


@njit(cache=True, error_model="numpy")
def _pool(layout, members, columns, shares, forecast):
    """The mixture of the members: probabilities by their shares in each cell, and for each class the mean return
    weighted by them."""
    count, cells, horizons = members.shape[0], layout[0, CELLS], layout[0, HORIZONS]
    for member in range(count):
        for i in range(3 * cells):
            forecast[i] += shares[i // 3, member] * members[member, i]
    for horizon in range(horizons):
        anchor = columns[columns.size - horizons + horizon]
        for c in range(3):
            weight = total = 0.0
            for member in range(count):
                probability = shares[anchor, member] * max(members[member, 3 * anchor + c], _SMALLEST)
                weight += probability
                total += probability * members[member, 3 * (cells + horizon) + c]
            forecast[3 * (cells + horizon) + c] = total / weight


@njit(cache=True, error_model="numpy")
def _spread(layout, members, columns, shares, forecast):
    """For each cell the deviation, over the calibrated members by their shares, of the return that each expects."""
    count, cells, horizons = members.shape[0], layout[0, CELLS], layout[0, HORIZONS]
    for cell in range(cells):
        horizon = columns[columns.size - horizons - cells + cell]
        mean = square = 0.0
        for member in range(count):
            mean += shares[cell, member] * _expected(members[member], cell, cells + horizon)
        for member in range(count):
            square += shares[cell, member] * (_expected(members[member], cell, cells + horizon) - mean) ** 2
        forecast[3 * (cells + horizons) + cell] = math.sqrt(square)


@njit(cache=True, error_model="numpy")
def _expected(forecast, cell, returns):
    """Mean return of a cell's classes; ``returns`` counts triples."""
    mean = 0.0
    for c in range(3):
        mean += float(forecast[3 * cell + c]) * float(forecast[3 * returns + c])
    return mean


@njit(cache=True, error_model="numpy")
def _calibrate(calibration, forecast):
    """Bend a forecast's probabilities by the calibration of each cell, in place."""
    for cell in range(calibration.shape[1]):
        three = forecast[3 * cell : 3 * cell + 3]
        for c in range(3):
            log_p = math.log(max(three[c], _SMALLEST))
            three[c] = log_p * calibration[0, cell, c] + calibration[1, cell, c]
        _softmax3(three)


@njit(cache=True, error_model="numpy")
def _softmax3(scores):
    """Softmax of three scores in place, its sum in float64."""
    highest, total = max(scores[0], scores[1], scores[2]), 0.0
    for c in range(3):
        scores[c] = math.exp(scores[c] - highest)
        total += scores[c]
    for c in range(3):
        scores[c] /= total


@njit(cache=True, error_model="numpy")
def finish(forecast):
    """Set ready, or clear a forecast that holds a number which is not finite."""
    total = np.float32(0.0)
    for i in range(forecast.size - 1):
        total += forecast[i]
    if math.isfinite(total):
        forecast[-1] = _ONE
    else:
        forecast[:] = 0


@njit(cache=True, error_model="numpy")
def network_run(model, state, values, valid, forecasts):
    """``network_step`` for each row of a table."""
    for i in range(values.shape[0]):
        network_step(model, state, values[i], valid[i])
        forecasts[i] = state[2]


@njit(cache=True, error_model="numpy")
def members_run(model, state, values, valid, forecasts):
    """``network_step`` for each row of a table, kept member by member."""
    for i in range(values.shape[0]):
        network_step(model, state, values[i], valid[i])
        forecasts[i] = state[4]


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def band_run(model, state, values, valid, forecasts):
    """``band_step`` for each row of a table."""
    for i in range(values.shape[0]):
        band_step(model, state, values[i], valid[i])
        forecasts[i] = state[0]
