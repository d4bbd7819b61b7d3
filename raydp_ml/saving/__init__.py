"""Fitted estimators in folders of open formats, and back without running code from them."""
