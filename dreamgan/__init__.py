"""DeepDream as a batched engine, and networks that learn to dream in one pass.

Photos become a dataset of photo and dream pairs (`dreamgan.dream`, `dreamgan.data`), the dataset trains a
generator (`dreamgan.networks`, `dreamgan.lit`), and the exported generator dreams on new photos
(`dreamgan.sampling`).
Importing this package imports nothing heavy; import the part that you need.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dreamgan")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0.0.0+unknown"

__all__ = ["__version__"]
