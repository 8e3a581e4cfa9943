"""Metrics and health over HTTP, for a daemon that wants to be watched. Imported only where they are on."""
