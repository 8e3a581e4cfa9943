"""The HTTP gateway: Epicenter's run API in front of a worker. A client of the protocol; it translates, nothing else."""
