"""Losses: each term by hand, and what it changes."""

import math

import pytest

torch = pytest.importorskip("torch")
from modeling.losses import cost_loss, focal_loss, return_loss  # noqa: E402  (needs torch)

LOGITS = torch.log(torch.tensor([[[0.2, 0.3, 0.5]]]))
ONE = torch.ones(1, 1)
ALONE = torch.ones(1)  # a batch weighs what one row does


def test_focal_loss_by_hand():
    truth = torch.tensor([[2]])
    plain = focal_loss(LOGITS, truth, ONE, ALONE, 0.0, 0.0)
    assert plain.item() == pytest.approx(-math.log(0.5))
    assert focal_loss(LOGITS, truth, ONE, ALONE, 2.0, 0.0).item() == pytest.approx(0.25 * -math.log(0.5))
    spread = -(math.log(0.2) + math.log(0.3) + math.log(0.5)) / 3
    assert focal_loss(LOGITS, truth, ONE, ALONE, 0.0, 0.02).item() == pytest.approx(0.98 * plain.item() + 0.02 * spread)


def test_focal_loss_turns_to_the_hard_rows():
    easy, hard = torch.tensor([[2]]), torch.tensor([[0]])
    ratio = [
        focal_loss(LOGITS, hard, ONE, ALONE, g, 0.0) / focal_loss(LOGITS, easy, ONE, ALONE, g, 0.0) for g in (0.0, 2.0)
    ]
    assert ratio[1] > 2 * ratio[0]


def test_smoothing_pulls_back_from_certainty():
    logits = torch.tensor([[[0.0, 0.0, 20.0]]], requires_grad=True)
    focal_loss(logits, torch.tensor([[2]]), ONE, ALONE, 0.0, 0.02).backward()
    assert logits.grad[0, 0, 2] > 0.01


def test_weightless_rows_count_for_nothing():
    logits = torch.cat((LOGITS, LOGITS * 5))
    truth, weights = torch.tensor([[2], [0]]), torch.tensor([[1.0], [0.0]])
    assert focal_loss(logits, truth, weights, ALONE, 1.5, 0.02) == focal_loss(LOGITS, truth[:1], ONE, ALONE, 1.5, 0.02)


def test_a_batch_counts_what_it_weighs_beside_the_usual_one():
    """Half the usual weight, half the loss: not the mean over the batch's own rows."""
    truth, usual = torch.tensor([[2]]), torch.tensor([4.0])
    whole = focal_loss(LOGITS, truth, 4 * ONE, usual, 1.5, 0.02)
    assert whole == focal_loss(LOGITS, truth, ONE, ALONE, 1.5, 0.02)
    assert focal_loss(LOGITS, truth, 2 * ONE, usual, 1.5, 0.02).item() == pytest.approx(whole.item() / 2)


def test_return_loss_is_quadratic_then_linear():
    def loss(error):
        return return_loss(torch.tensor([[error]]), torch.zeros(1, 1), ONE, ALONE, 0.5).item()

    assert loss(0.4) == pytest.approx(0.08)
    assert loss(3.0) - loss(2.0) == pytest.approx(0.5)


def test_missing_return_is_left_out():
    predicted, gross = torch.tensor([[1.0], [9.0]]), torch.tensor([[0.0], [float("nan")]])
    assert return_loss(predicted, gross, torch.ones(2, 1), ALONE, 0.5).item() == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("probabilities", "edge", "cost", "expected"),
    [
        ((0.1, 0.3, 0.6), 0.2, 0.5, 0.3 * 0.3),  # long, the edge short of its cost by 0.3
        ((0.1, 0.3, 0.6), 0.7, 0.5, 0.0),  # the edge pays
        ((0.2, 0.6, 0.2), 0.0, 0.5, 0.0),  # would not have traded
        ((0.6, 0.3, 0.1), -0.2, 0.5, 0.3 * 0.3),  # short, as long
        ((0.6, 0.3, 0.1), -0.2, float("nan"), 0.0),  # cost unknown
    ],
)
def test_cost_loss_by_hand(probabilities, edge, cost, expected):
    values = torch.tensor([[probabilities]]), torch.tensor([[edge]]), torch.tensor([[cost]])
    assert cost_loss(*values, ONE, ALONE).item() == pytest.approx(expected, abs=1e-7)
