"""Where the network runs: in a Docker container or on this computer, behind one protocol."""
