"""Why an order was sent and what became of it, answered from the journal alone by playing it back."""
