"""A computation as plain data: the graph itself, how it is built from a result, how a run is recorded."""
