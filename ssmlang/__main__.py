"""`python -m ssmlang` is the command `ssmlang`."""

import sys

from ssmlang.cli import main

sys.exit(main())
