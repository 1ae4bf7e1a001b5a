"""The command line. No numerics here."""
