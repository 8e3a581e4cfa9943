# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "PermissionError"
# ///

import socket

socket.create_connection(("127.0.0.1", 1))
