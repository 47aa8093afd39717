"""Generator of labelled datasets: covers, payloads, five embedding methods, hard negatives. Deterministic by seed."""
