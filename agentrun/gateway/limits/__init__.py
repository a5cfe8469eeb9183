"""How much may pass: requests and tokens in a window, budgets in a period, calls at once."""
