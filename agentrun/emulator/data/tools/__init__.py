"""Tools on the data plane: who they are called by, and what is behind them."""
