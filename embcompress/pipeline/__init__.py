"""From tables to an artifact: statistics pass, plan, fit, encode tiles, write."""
