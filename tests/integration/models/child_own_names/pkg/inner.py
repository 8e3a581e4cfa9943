def deep(divisor=None):
    if divisor:
        return 1 / (divisor - 1)
    return "deep"
