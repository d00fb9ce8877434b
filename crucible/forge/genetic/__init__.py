"""Genetic programs: DEAP trees, the operators that vary them, and the breeder that evolution drives.

Entry point: `breeder.ProgramBreeder`. Nothing here selects who lives on.
"""
