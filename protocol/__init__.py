"""The worker's wire protocol: messages, values, errors, codec and clients."""
