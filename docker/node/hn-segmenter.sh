#!/bin/sh
# The command line from the image's folders: library and network need no installation of their own.
home=/opt/hn-segmenter
export PYTHONPATH=$home/library HNSEG_NETWORK=$home/network
exec "$home/bin/python" -m HNSegmenterLib "$@"
