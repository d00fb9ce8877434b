"""Functions as people write them: some know the future, others only look as if they did."""

import numpy as np
import pandas as pd

print("printed when it is executed")


def column_maximum(df):
    return df["close"] / df["close"].max()


def centred_window(df):
    return df["close"].rolling(21, center=True).mean()


def shifted_merge(df):
    hours = df["close"].resample("1h").last().rename("hour")
    merged = pd.merge_asof(df.reset_index(), hours.reset_index(), on="time")
    return merged.set_index("time")["hour"]


def next_close(df):
    return df["close"].shift(-1)


def filled_backwards(df):
    return df["volume"].rolling(50).mean().bfill()


def spread_of_all(df):
    return (df["close"] - df["close"].mean()) / df["close"].std()


def only_the_high(df):
    return pd.DataFrame(
        {"fine": df["low"].rolling(5).min(), "peak": df["high"][::-1].cummax()[::-1]}
    )


def bought_before_it_rises(df):
    return ((df["close"].shift(-1) / df["close"] - 1) > 0.004).astype(float)


def sold_before_it_falls(df):
    return ((df["close"].shift(-1) / df["close"] - 1) < -0.004).astype(float)


def out_at_the_end(df):
    held = pd.Series(1.0, df.index)
    held.iloc[-1] = 0.0
    return held


def label_of_tomorrow(df):
    return pd.Series(np.where(df["close"].shift(-30) > df["close"], "up", "down"), df.index)


def kept_only_where_it_rises(df):
    return df["close"][df["close"].shift(-1) > df["close"]]


def limit_order_at_the_next_candle(df):
    limit = (df["close"] * 0.999).shift(1)
    return pd.DataFrame({"limit": limit, "filled": df["low"] <= limit})


def delayed_entry(df):
    signal = df["close"].pct_change(10) > 0.001
    return signal.shift(2).fillna(value=False).astype(bool)


def long_warm_up(df):
    return df["close"].rolling(200).mean()


def without_its_warm_up(df):
    return df["close"].rolling(200).mean().dropna()


def hours_that_are_over(df):
    hours = df["close"].resample("1h", label="right", closed="left").last()
    return hours.reindex(df.index, method="ffill").where(df.index >= df.index[0].ceil("h"))


def smooth(df):
    df["close"] = df["close"].ewm(span=30).mean()
    print("printed while it is computed")
    return df["close"].to_numpy()


def words(df):
    return pd.Series(np.where(df["close"] > df["open"], "green", "red"), df.index)


def expanding_maximum(df):
    return df["high"].expanding().max()


def drawn(df):
    return pd.Series(np.random.default_rng().normal(size=len(df)), df.index)


def raises(df):
    message = "nothing here"
    raise SystemExit(message)


def a_number(df):
    return 3


def other_rows(df):
    return df["close"].iloc[::2].reset_index(drop=True)
