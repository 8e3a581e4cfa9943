NAME = "own worker"
