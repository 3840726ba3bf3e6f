#!/bin/sh
# Regenerates the PTX beside this file; needs nvcc.
set -e
cd "$(dirname "$0")"
for source in *.cu; do
  nvcc -ptx -arch=sm_90 -std=c++17 "$source" -o "ptx/${source%.cu}.ptx"
done
