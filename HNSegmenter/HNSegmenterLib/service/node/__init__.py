"""The node: Orthanc, its configuration and the proxy before it."""
