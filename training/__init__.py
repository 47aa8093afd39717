"""Trains, exports and measures the reference models. Needs PyTorch (the `train` extra); never imported at run time."""
