"""Hit ratios of the engine, of reference policies and of peers on recorded access traces."""
