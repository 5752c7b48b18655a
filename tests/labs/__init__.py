"""The test beds: what tests run on, each a module named by what it holds.

Those that need more than the agent and its own packages are for an operator's interpreter alone.
"""

import sys

OPERATOR = sys.version_info >= (3, 11)
"""Whether this interpreter may be an operator's; an older one is a host's, where the agent alone is installed."""
