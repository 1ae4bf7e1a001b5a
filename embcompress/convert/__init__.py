"""Other formats into safetensors, streamed: word vectors, .pt, .npz, vector files, parquet."""
