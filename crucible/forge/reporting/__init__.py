"""What a forge run leaves for people: descriptions, charts, trees, importance and the folder of files.

Entry points: `folder.write_folder`, `evidence.write_evidence`, `explain.explain_version`. Nothing here judges.
"""
