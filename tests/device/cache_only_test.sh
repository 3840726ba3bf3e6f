#!/bin/sh
# cache_only_test.sh CACHE_ONLY FAKE_LIBCUDA: on the double of the driver, which runs no kernel, nothing is right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$2" "$folder/libcuda.so.1"
problem="hidden=64,intermediate=64,experts=4,top_k=2"
code=0
LD_LIBRARY_PATH="$folder" "$1" "$folder/cache.db" "$problem" 4 >"$folder/out" 2>"$folder/err" || code=$?
if [ "$code" -ne 1 ] || ! grep -q '"right": false' "$folder/out"; then
  echo "exit $code, must be 1 with \"right\": false" >&2
  cat "$folder/out" "$folder/err" >&2
  exit 1
fi
