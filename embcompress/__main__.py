"""``python -m embcompress``."""

from embcompress.cli.entry import main

main()
