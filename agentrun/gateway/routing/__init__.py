"""Which endpoint answers a call: chosen by weight and health, asked, and replaced by another when it fails."""
