"""What decides: life cycle, rituals, replay plans, contexts. Pure: no clock, no I/O, no loop."""
