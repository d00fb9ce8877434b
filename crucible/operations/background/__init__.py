"""A stack that runs without a terminal: started, stopped and read from elsewhere.

Entry points: `start.start_detached`, `stop.stop_stack`, `logs.tail`, `logs.follow`.
"""
