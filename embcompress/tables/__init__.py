"""Tables of float weights in .npy and .safetensors files and in memory, read in row tiles."""
