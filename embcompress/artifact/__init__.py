"""The file: row maps, tensors, the JSON document, writing, reading and verification."""
