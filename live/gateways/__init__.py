"""Where a live desk's orders go behind ``trading.session.Gateway``: a paper account, nowhere, or an exchange."""
