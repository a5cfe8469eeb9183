"""The Agent2Agent protocol, in its lines 0.3 and 1.0.

Tasks are kept in the words of 1.0; `dialect` says them in those of 0.3.
"""
