"""Does a rule know the future? Computed again on shorter histories and on other futures, and compared.

Entry points: `search.find_leaks`, `functions.load_function`, `strategies.nodes_of`. What is compared is what the past
says: a column leaks where a row before the cut changes.
"""
