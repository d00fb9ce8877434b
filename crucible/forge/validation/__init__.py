"""What a candidate must show before it counts: windows, cross-validation, novelty and the gates of the policy.

Entry points: `windows.cut`, `gates.judge`. Nothing here changes a candidate.
"""
