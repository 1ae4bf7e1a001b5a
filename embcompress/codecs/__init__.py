"""Storage forms: decode only, immutable. Each file here registers its codec by existing."""
