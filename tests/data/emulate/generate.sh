#!/bin/sh
# Regenerates the PTX beside this file; needs nvcc. Paths of the machine are taken out of the line information.
set -e
cd "$(dirname "$0")"
for source in *.cu; do
  nvcc -ptx -arch=sm_90 -lineinfo "$source" -o - | sed -e "s|\"[^\"]*/\($source\)\"|\"\1\"|" | grep -v '^\s*\.file.*/' > "${source%.cu}.ptx"
done
