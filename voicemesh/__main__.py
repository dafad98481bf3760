"""`python -m voicemesh`: the same as the command `voicemesh`."""

import sys

from voicemesh.cli import main

if __name__ == "__main__":
    sys.exit(main())
