"""What the servers of this package share: the types of ASGI, and a client for the servers behind them."""
