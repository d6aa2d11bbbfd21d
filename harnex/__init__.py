"""harnex runs CLI coding agents unattended and tells the truth about them."""

__version__ = "0.1.0"
