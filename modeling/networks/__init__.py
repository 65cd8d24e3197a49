"""The networks in torch: one file a kind, and what they share; training and export read them."""
