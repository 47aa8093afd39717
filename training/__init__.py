"""Training, export and evaluation of the reference models. Needs PyTorch (the `train` extra); not used at run time."""
