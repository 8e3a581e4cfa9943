# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# context = {events = {onTerminating = {timeoutSeconds = 3600}}}
# ///
