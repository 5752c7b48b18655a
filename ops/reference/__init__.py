"""The bundled apps `sources` and `users`, and what drives and counts their traffic.

Reading an app's declarations imports nothing beyond ops.consumer: database, HTTP client and state
machine are imported where a message is performed.
"""
