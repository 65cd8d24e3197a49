"""What training minimises. Shapes: rows flattened to N, C cells, H horizons; a mask or NaN leaves a label out."""

import torch
from torch import Tensor
from torch.nn import functional


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over rows, then over columns that have any weight; 0 where none has."""
    total = weights.sum(0)
    means = (values * weights).sum(0) / total.clamp_min(1e-12)
    return means.sum() / (total > 0).sum().clamp_min(1)


def focal_loss(logits: Tensor, truth: Tensor, weights: Tensor, gamma: float, smoothing: float) -> Tensor:
    """Cross entropy against smoothed classes, turned down by ``(1 - p)^gamma`` where the truth is already likely.

    logits (N, C, 3), truth (N, C) in 0..2, weights (N, C) with 0 where there is no label.
    Source: Lin et al. (2017), "Focal Loss for Dense Object Detection", equation 4.
    """
    log_p = functional.log_softmax(logits, -1)
    log_p_truth = log_p.gather(-1, truth[..., None])[..., 0]
    smoothed = (1 - smoothing) * log_p_truth + smoothing * log_p.mean(-1)
    return _mean(-((1 - log_p_truth.exp()) ** gamma) * smoothed, weights)


def return_loss(predicted: Tensor, gross: Tensor, weights: Tensor, delta: float) -> Tensor:
    """Huber loss of the return predicted for the class that came true; all (N, H), in training standard deviations."""
    known = torch.isfinite(gross)
    errors = functional.huber_loss(predicted, torch.where(known, gross, predicted), reduction="none", delta=delta)
    return _mean(errors, weights * known)


def cost_loss(probabilities: Tensor, edge: Tensor, cost: Tensor, weights: Tensor) -> Tensor:
    """Cost above the predicted edge, where the model would have traded: where a side is likelier than no trade.

    probabilities (N, C, 3); edge and cost (N, C) in training standard deviations, the edge signed.
    """
    down, no_trade, up = probabilities.unbind(-1)
    known = torch.isfinite(cost)
    cost = torch.where(known, cost, edge)
    long = functional.relu(up - no_trade) * functional.relu(cost - edge)
    short = functional.relu(down - no_trade) * functional.relu(cost + edge)
    return _mean(long + short, weights * known)
