"""The paper venue as third parties see it: ccxt and pybit, unmodified, against the real binary."""
