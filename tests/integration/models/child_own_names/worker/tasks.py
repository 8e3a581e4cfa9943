def task():
    return "own task"
