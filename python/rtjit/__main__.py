"""python -m rtjit: the command `rtjit`."""

import os
import sys

from ._locate import command_file, offer_nvrtc


def main() -> None:
    offer_nvrtc()
    file = command_file()
    try:
        os.execvp(file, ["rtjit", *sys.argv[1:]])
    except FileNotFoundError:
        sys.exit("rtjit: this package was built without the command; install librtjit's")


if __name__ == "__main__":
    main()
