"""The real Cerebellum over real ZeroMQ, on a real paper venue."""
