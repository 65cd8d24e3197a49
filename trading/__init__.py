"""The one decision core: what to hold, how to get there, and what may stop it. Backtest, paper and live all run it."""
