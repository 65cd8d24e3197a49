"""What several tests of a fit learn from."""

import pytest

from modeling.training_rows import TrainingSet
from tests.builders_modeling import labelled_rows


@pytest.fixture(scope="module")
def sets() -> tuple[TrainingSet, TrainingSet]:
    """Train and Val."""
    return labelled_rows(seed=1), labelled_rows(seed=2)
