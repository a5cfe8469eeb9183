"""What the agents of a server did, as spans: sent to others, and kept in a file on this machine."""
