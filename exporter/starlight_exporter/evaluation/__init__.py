"""One model over one dataset gives one immutable Evaluation; statistics and regression checks over it."""
