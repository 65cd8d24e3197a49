"""Labels of decision rows, with the cost of the round trip in them."""
