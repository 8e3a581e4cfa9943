import os
import time

os.write(3, b"\xff" * 4096)
time.sleep(3600)
