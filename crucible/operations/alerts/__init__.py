"""Alerts: what happens while nobody looks is sent to the addresses of the settings, through Apprise.

Entry point: `dispatch.Alerts`, which the supervisor owns. It reads what others wrote and sends in threads of its
own: neither the arena nor Cerebellum nor the supervisor waits for it or fails by it. An address is never logged.
"""
