"""The control plane's wire: the operations, how their requests are checked, and the envelope of the answers."""
