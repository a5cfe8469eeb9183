"""The data plane of models: the gateway, as model services and model proxies of the platform see it."""
