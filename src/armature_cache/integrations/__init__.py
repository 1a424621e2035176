"""Where this library meets others: each module needs the package that it is named after."""
