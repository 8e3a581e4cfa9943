"""The daemon's core: router, table of runs, hosts that execute what the life cycle decides."""
