"""The durable side: action log, archive and run directory behind ports."""
