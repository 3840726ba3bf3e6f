#!/bin/sh
# What executors link stays small: neither the emulator nor a code generator is in librtjit.so or needed by it.
#   library_contents_test.sh LIBRARY [sanitized]
set -eu
library=$1 sanitized=${2:-}
fail() { echo "FAILED: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

readelf -d "$library" > "$work/dynamic"
grep -q 'NEEDED.*libc\.so' "$work/dynamic" || fail "readelf lists no dependencies of $library"
needed=$(sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' "$work/dynamic")
for name in $needed; do
  case $name in
    libsqlite3.so.*|libzstd.so.*|libfmt.so.*|libz.so.*) ;;           # static in portable builds
    libstdc++.so.*|libm.so.*|libgcc_s.so.*|libc.so.*|libpthread.so.*|libdl.so.*|ld-linux-*) ;;
    libasan.so.*|libubsan.so.*|libtsan.so.*) [ -n "$sanitized" ] || fail "$name is needed" ;;
    *) fail "$name is needed; CUDA's and LLVM's libraries must not be, and others only after thought" ;;
  esac
done

nm -C "$library" > "$work/symbols"
# Symbols are there at all: otherwise their absence would prove nothing.
grep -q 'rtjit::Store' "$work/symbols" || fail "$library is stripped: nothing can be said of its contents"
for pattern in 'rtjit::emu::' 'rtjit::ptx::' 'EmulatedDevice' 'make_emulated_device' \
               'llvm::TargetMachine' 'llvm::MachineFunction' 'llvm::SelectionDAG' 'llvm::orc::' 'llvm::BasicBlock'; do
  if grep -m 3 "$pattern" "$work/symbols"; then fail "$library contains $pattern"; fi
done

# 2.0 MB on 2026-11-24; portable builds add about 4 MB of SQLite, zstd, fmt and libstdc++. A code generator for one
# host would add over 20 MB, the emulator 3 MB. Sanitizers' instrumentation has no bound worth a name.
if [ -z "$sanitized" ]; then
  bytes=$(size "$library" | awk 'NR == 2 { print $4 }')
  limit=8000000
  if ldd "$library" | grep -q 'libsqlite3'; then limit=4000000; fi
  [ "$bytes" -lt "$limit" ] || fail "$library has $bytes B of code and data, over $limit B"
fi
