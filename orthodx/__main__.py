"""`python -m orthodx`."""

from orthodx.cli.app import main

main()
