"""The live web page: what every agent holds, earned and why.

It only reads; nothing here changes the state of the system.
"""
