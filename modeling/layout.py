"""Where a network's numbers lie in the arrays that the compiled runtime reads: what kernels and streaming agree on.

A layout is a table of int64. Row 0 speaks of the whole model, the next rows of its members, the rest of the layers:
for each member and branch the projection and then its blocks; behind them the member's fusion, its two outputs, and
where it has one the layer that leads from the row to the class scores.
"""

from typing import Final

# row 0
MEMBERS: Final = 0
CELLS: Final = 1
HORIZONS: Final = 2
RECEPTIVE: Final = 3  # consecutive valid rows before the first forecast, of the member that needs most

# a member's row
FIRST: Final = 0  # the row of its first layer
WIDTH: Final = 1
MEMBER_BRANCHES: Final = 2
DEPTH: Final = 3  # blocks behind the projection of each branch
DIRECT: Final = 4  # 1 where a layer behind the outputs leads from the row to the class scores

# a layer's row
WEIGHTS: Final = 0  # where its weights begin
INPUTS: Final = 1  # numbers that it reads of one row
KIND: Final = 2
MEMORY: Final = 3  # where its memory begins
# from place 4 on, by kind:
COLUMNS_AT: Final = 4  # LINEAR of a branch: where its columns begin
DILATION, RING_ROWS, TAPS = 4, 5, 6  # DILATED
BAND_ROWS, HEADS, HIDDEN = 4, 5, 6  # ATTENTION
LAYOUT_COLUMNS: Final = 7

# kinds of layers
LINEAR: Final = 0
DILATED: Final = 1  # residual convolution over rows spaced by the dilation
ATTENTION: Final = 2  # pre-norm attention over a band of rows, then a feed-forward part
RECURRENT: Final = 3  # gated recurrent unit
