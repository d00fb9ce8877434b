//! The ZeroMQ wire between arena and Cerebellum, as `docs/reference/wire.md` tells it.
