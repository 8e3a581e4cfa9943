NAME = "own protocol"
