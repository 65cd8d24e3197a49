"""What a model sees: one catalogue, one compiled step, driven in batch and live alike."""
