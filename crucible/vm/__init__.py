"""The machine that runs genetic programs: their language, the compiler to a linear program, the interpreter.

Entry points: `program.parse_program`, `linear.compile_programs`, `interpreter.Runner`. Nothing here knows
what a strategy earns, or who trades it.
"""
