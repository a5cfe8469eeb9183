"""What gateways that work together must agree on: limits, budgets, cached answers, who is ejected."""
