#!/usr/bin/env bash
# A file is one idea; over 500 lines it is at least two.
status=0
for file in "$@"; do
  lines=$(wc -l < "$file")
  if [ "$lines" -gt 500 ]; then
    echo "$file: $lines lines; split it (at most 500)"
    status=1
  fi
done
exit $status
