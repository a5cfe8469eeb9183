"""The control plane's behaviour: one file for each kind of resource."""
