"""Cost as the work grows: `make bench-scale`."""
