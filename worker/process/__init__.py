"""The supervisor's side of its children: zygotes, run processes, their limits and ends."""
