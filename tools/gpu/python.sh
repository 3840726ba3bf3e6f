#!/bin/sh
# The Python package on a machine with a GPU and PyTorch: its tests, CUDA graphs and torch.compile among them, the example
# with a gpt-oss of transformers, Python's first output from a filled cache, and what a call costs the host.
#
#   tools/gpu/python.sh FOLDER_WITH_BINARIES OUT_FOLDER
#
# The folder holds what was built anywhere (cmake --preset portable): lib/librtjit.so.0 (or librtjit.so.0), and the package
# in python/ (python/rtjit with its extension module, or python/rtjit-*.whl, or neither where `import rtjit` works already).
# pytest must be importable; whatever else is in python/ is. Logs and JSON go to OUT_FOLDER; the summary is printed last and
# is OUT_FOLDER/summary.txt. Exit code: how many steps failed. 100 s on an H100; each step has a limit. The environment chooses:
#   STEPS   "where tests gpu example first host"  which steps, in this order
#   PYTHON  "python3"
#   DB      ""     a database that `rtjit tune` filled, which is copied; none: the default configs, compiled once
#   LAYERS  "4"    of the example's model, of gpt-oss-20b's widths
set -u
if [ $# -ne 2 ]; then
  sed -n '2,/^set -u/p' "$0" | sed '/^set -u/d; s/^# \{0,1\}//'
  exit 2
fi
BIN=$(cd "$1" && pwd) || exit 2
mkdir -p "$2" || exit 2
OUT=$(cd "$2" && pwd)
TREE=$(cd "$(dirname "$0")/../.." && pwd)
STEPS=${STEPS:-"where tests gpu example first host"}
PYTHON=${PYTHON:-python3}
WORK=$(mktemp -d) || exit 2
trap 'rm -rf "$WORK"' EXIT

for library in "${RTJIT_LIBRARY:-}" "$BIN/lib/librtjit.so.0" "$BIN/librtjit.so.0"; do
  [ -n "$library" ] && [ -e "$library" ] && export RTJIT_LIBRARY="$library" && break
done
export LD_LIBRARY_PATH="$BIN/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for wheel in "$BIN"/python/rtjit-*.whl; do
  [ -e "$wheel" ] || continue
  "$PYTHON" -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$wheel" "$WORK/wheel" || exit 2
  export PYTHONPATH="$WORK/wheel${PYTHONPATH:+:$PYTHONPATH}"
done
export PYTHONPATH="$BIN/python${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The tests have caches of their own; the other steps share one.
export XDG_CACHE_HOME="$WORK/xdg" RTJIT_CACHE="$WORK/cache.db" TORCHINDUCTOR_CACHE_DIR="$WORK/inductor" \
  TRITON_CACHE_DIR="$WORK/triton" TORCHINDUCTOR_COMPILE_THREADS=1 HF_HUB_OFFLINE=1
[ -z "${DB:-}" ] || cp "$DB" "$RTJIT_CACHE" || exit 2
export RTJIT_REQUIRE_DEVICE=1 RTJIT_SOURCE_DIR="$TREE" RTJIT_BINARY_DIR="$BIN" RTJIT_REAL_LIBRARY="${RTJIT_LIBRARY:-}"
# shellcheck source=steps.sh
. "$(dirname "$0")/steps.sh"
# tests NAME LIMIT FILE...: in one process, so that PyTorch is imported and kernels are compiled once.
tests() {
  suite=$1 limit=$2
  shift 2
  (cd "$TREE/tests/python" && step "$suite" "$limit" "$PYTHON" -m pytest -q -rs --tb=short --durations=8 -p no:cacheprovider "$@")
}

for what in $STEPS; do
  case $what in
    where)
      step where 60 "$PYTHON" - <<'PYTHON'
import sys
import rtjit
library = rtjit.Library(database=":memory:")
print(f"Python {sys.version.split()[0]}, rtjit {rtjit.version()} ({library.file}, {rtjit._rtjit.__file__})")
print(f"{library.device_name}, {library.target}, {library.sm_count} SMs")
for name in ("torch", "transformers", "triton", "numpy", "pytest", "cupy"):
    try:
        print(name, __import__(name).__version__)
    except ImportError as error:
        print(f"{name}: {error}")
sys.exit("the device is emulated: this needs librtjit.so" if library.emulated else 0)
PYTHON
      count $?
      ;;
    tests)
      tests tests 90 library_test.py kernel_test.py frozen_test.py torch_test.py
      count $?
      ;;
    gpu)
      tests tests_gpu 90 gpu_test.py
      count $?
      ;;
    example)
      # The second run finds its kernels in the cache: the time to replace the experts is then that of packing.
      for run in first again; do
        step "example_$run" 90 "$PYTHON" "$TREE/examples/gpt_oss.py" --size 20b --layers "${LAYERS:-4}" --device cuda --json
        count $?
      done
      ;;
    first)
      for tokens in 1 64; do
        step "first_fill_$tokens" 40 "$PYTHON" "$TREE/tests/python/first_output.py" "$RTJIT_CACHE" --tokens "$tokens" --may-compile
        count $?
        step "first_$tokens" 40 "$PYTHON" "$TREE/tests/python/first_output.py" "$RTJIT_CACHE" --tokens "$tokens"
        count $?
      done
      ;;
    host)
      step host 40 "$PYTHON" "$TREE/tools/bench/python_launch.py" --json
      count $?
      ;;
    *)
      echo "unknown step $what; known are: where tests gpu example first host" >&2
      exit 2
      ;;
  esac
done

{
  echo "== steps"
  cat "$OUT/steps.txt"
  [ ! -f "$OUT/where.out" ] || { echo "== where"; cat "$OUT/where.out"; }
  for file in "$OUT"/tests*.out; do
    [ -f "$file" ] || continue
    echo "== $(basename "$file" .out): $(tail -n 1 "$file")"
    grep -E '^(SKIPPED|FAILED|ERROR|E  )' "$file" | cut -c 1-300 | head -30
  done
  for run in first again; do
    [ -f "$OUT/example_$run.out" ] || continue
    echo "== gpt-oss of transformers, $run run"
    "$PYTHON" - "$OUT/example_$run.out" <<'PYTHON'
import json, sys
try:
    report = json.load(open(sys.argv[1]))
except (OSError, ValueError) as error:
    sys.exit(f"no result: {error}")
print(f"{report['device']}: gpt-oss-{report['size']}, {report['layers']} layers, batch {report['batch']}, prompt of "
      f"{report['prompt']} tokens; experts of transformers: {report['experts_of_transformers']}; replaced in "
      f"{report['replacing_s']:.2f} s; {report['provenance']}")
for phase in ("decode", "prefill"):
    row = report[phase]
    print(f"{phase:8} logits differ by {row['logits_relative_error']:.2e}, same next token {100 * row['same_next_token']:.0f} %; "
          f"model {row['transformers_ms']:.3f} -> {row['rtjit_ms']:.3f} ms ({row['transformers_ms'] / row['rtjit_ms']:.2f}x), "
          f"one layer's experts {row['experts_transformers_ms']:.3f} -> {row['experts_rtjit_ms']:.3f} ms "
          f"({row['experts_transformers_ms'] / row['experts_rtjit_ms']:.2f}x)")
    old, new = row["experts_in_graph_transformers_ms"], row["experts_in_graph_rtjit_ms"]
    if old and new:
        print(f"{phase:8} a layer's experts in a CUDA graph {1e3 * old:.1f} -> {1e3 * new:.1f} us ({old / new:.2f}x)")
PYTHON
  done
  end_of_summary "$OUT"/first_*.out "$OUT"/host.out
} > "$OUT/summary.txt" 2>&1
cat "$OUT/summary.txt"
exit "$FAILED"
