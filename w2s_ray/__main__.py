"""`python -m w2s_ray` is `w2s`, also where the package was shipped to a cluster and no command was installed."""

from w2s_ray.cli import main

if __name__ == "__main__":
    main()
