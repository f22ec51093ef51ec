"""``python -m cae_cli`` is `cae`."""

from cae_cli.main import main

if __name__ == "__main__":
    main()
