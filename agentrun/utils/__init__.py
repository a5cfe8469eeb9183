"""Names that code written for the official client imports from here; they live elsewhere."""
