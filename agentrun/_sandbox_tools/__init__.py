"""The tools of sandboxes as data: what they are called, take and give, for whoever performs them."""
