"""`python -m snips_cli`, as `torchrun -m snips_cli train …` needs it."""

from snips_cli.main import main

if __name__ == "__main__":
    main()
