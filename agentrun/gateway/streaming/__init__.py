"""What passes in a stream: its events, and the usage in them."""
