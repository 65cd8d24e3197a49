"""What training minimises. Shapes: rows flattened to N, C cells, H horizons; a mask or NaN leaves a label out.

Each loss is divided by what a batch of Train weighs on average, not by the weight of the batch at hand: rows that count
less do so also where a whole batch of them comes at once.
"""

import torch
from torch import Tensor
from torch.nn import functional


def _mean(values: Tensor, weights: Tensor, batch_weight: Tensor) -> Tensor:
    """Weighted sum over rows by the usual weight of a column, and the mean over columns; one without weight is 0."""
    return ((values * weights).sum(0) / batch_weight.clamp_min(1e-12)).mean()


def focal_loss(
    logits: Tensor, truth: Tensor, weights: Tensor, batch_weight: Tensor, gamma: float, smoothing: float
) -> Tensor:
    """Cross entropy against smoothed classes, turned down by ``(1 - p)^gamma`` where the truth is already likely.

    logits (N, C, 3), truth (N, C) in 0..2, weights (N, C) with 0 where there is no label, batch_weight (C,).
    Source: Lin et al. (2017), "Focal Loss for Dense Object Detection", equation 4.
    """
    log_p = functional.log_softmax(logits, -1)
    log_p_truth = log_p.gather(-1, truth[..., None])[..., 0]
    smoothed = (1 - smoothing) * log_p_truth + smoothing * log_p.mean(-1)
    return _mean(-((1 - log_p_truth.exp()) ** gamma) * smoothed, weights, batch_weight)


def return_loss(predicted: Tensor, gross: Tensor, weights: Tensor, batch_weight: Tensor, delta: float) -> Tensor:
    """Huber loss of the return predicted for the class that came true; all (N, H), in training standard deviations.

    weights (N, H), batch_weight (H,).
    """
    known = torch.isfinite(gross)
    errors = functional.huber_loss(predicted, torch.where(known, gross, predicted), reduction="none", delta=delta)
    return _mean(errors, weights * known, batch_weight)


def cost_loss(probabilities: Tensor, edge: Tensor, cost: Tensor, weights: Tensor, batch_weight: Tensor) -> Tensor:
    """Cost above the predicted edge, where the model would have traded: where a side is likelier than no trade.

    probabilities (N, C, 3); edge and cost (N, C) in training standard deviations, the edge signed;
    weights (N, C), batch_weight (C,).
    """
    down, no_trade, up = probabilities.unbind(-1)
    known = torch.isfinite(cost)
    cost = torch.where(known, cost, edge)
    long = functional.relu(up - no_trade) * functional.relu(cost - edge)
    short = functional.relu(down - no_trade) * functional.relu(cost + edge)
    return _mean(long + short, weights * known, batch_weight)
