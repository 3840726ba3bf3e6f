#!/bin/sh
# Acceptance on a machine with a GPU, NVRTC and compute-sanitizer: device tests, the same under the sanitizer's tools,
# tuning, and a second process that launches from the cache.
#
#   tools/gpu/accept.sh FOLDER_WITH_BINARIES OUT_FOLDER
#
# The folder holds rtjit, test_device and cache_only, built anywhere (cmake --preset portable). Logs, JSON and the tuned
# database go to OUT_FOLDER; the summary is printed last and is OUT_FOLDER/summary.txt. Exit code: how many steps failed.
# Under nine minutes with the defaults; each step has a limit of its own. The environment chooses:
#   STEPS    "test misbehave tune cache sanitize"  which steps, in this order; also pack, bench and retune, after tune, and sweep
#   PRESETS  "gpt-oss-20b"                        what is tuned; the first one is launched from the cache
#   TOOLS    "memcheck racecheck synccheck"       of compute-sanitizer; also initcheck
#   FILTER   GoogleTest filter of the problems that run under the sanitizer
#   CONFIGS  "3"                                  configs per problem under the sanitizer, besides default and references
#   RETUNES  "5"                                  tunes of the first preset that are compared; each from the winners before it, or
#            with RETUNE_FROM=empty from what the library came with, with RETUNE_FROM=nothing not even from that. Their reports,
#            with each contender's times in every pass, are OUT_FOLDER/retune_N.out; the table of what differs is in the summary
#   SWEEP_TOKENS "1,16,64,1024,8192", SWEEP_BUDGET "150"  a sweep measures every feasible config of each preset, as far as so many seconds
#            go, and replays the search on it; sweep_PRESET.txt is what `rtjit fit` wants, as text
#   TUNE_LIMIT 150, BENCH_LIMIT 150, TEST_LIMIT 200, MISBEHAVE_LIMIT 120, SANITIZE_LIMIT 170, VERIFY_PACK_LIMIT 240   seconds
set -u
if [ $# -ne 2 ]; then
  sed -n '2,/^set -u/p' "$0" | sed '/^set -u/d; s/^# \{0,1\}//'
  exit 2
fi
BIN=$(cd "$1" && pwd) || exit 2
mkdir -p "$2" || exit 2
OUT=$(cd "$2" && pwd)
STEPS=${STEPS:-"test misbehave tune cache sanitize"}
PRESETS=${PRESETS:-"gpt-oss-20b"}
TOOLS=${TOOLS:-"memcheck racecheck synccheck"}
FILTER=${FILTER:-"*/tokens_1:*/tokens_33:*/tokens_64:*/a_third_skipped_many_tokens_offset:*/hidden_and_intermediate_96:*/intermediate_736:*/halves_up_gate_gelu_f32_bias:*/scale_byte_255:*/all_skipped:*/k144_tail:*/n65:*/odd_gaps:*/f32_out_e8m0_scales:*/m2:*ReplayOfACapturedGraph*"}
WORK=$(mktemp -d) || exit 2
trap 'rm -rf "$WORK"' EXIT
export RTJIT_TEST_DATA="$(cd "$(dirname "$0")/../../tests/data" && pwd)"
export XDG_CACHE_HOME="$WORK/xdg" RTJIT_TEST_DB="$WORK/tests.db" RTJIT_REQUIRE_DEVICE=1
DB="$OUT/tuned.db"
chmod +x "$BIN/rtjit" "$BIN/test_device" "$BIN/cache_only" 2>/dev/null
SANITIZER=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
# shellcheck source=steps.sh
. "$(dirname "$0")/steps.sh"

for what in $STEPS; do
  case $what in
    test)
      step device_tests "${TEST_LIMIT:-200}" "$BIN/test_device" --gtest_filter="-Misbehaving*" \
        --gtest_output="json:$OUT/device_tests.json"
      count $?
      ;;
    misbehave)
      # Kernels that fault, hang and compute wrong results on purpose: each is stopped or found out, and the GPU works on.
      step misbehaving "${MISBEHAVE_LIMIT:-120}" "$BIN/test_device" --gtest_filter="Misbehaving*"
      count $?
      ;;
    tune)
      for preset in $PRESETS; do
        step "tune_$preset" "${TUNE_LIMIT:-150}" "$BIN/rtjit" tune moe_mxfp4 --preset "$preset" --db "$DB" --json
        count $?
        step "tune_again_$preset" 30 "$BIN/rtjit" tune moe_mxfp4 --preset "$preset" --db "$DB" --json
        count $?
        step "query_$preset" 30 "$BIN/rtjit" query moe_mxfp4 --preset "$preset" --tokens 1,64,8192 --db "$DB"
        count $?
        step "explain_$preset" 60 "$BIN/rtjit" explain moe_mxfp4 --preset "$preset" --tokens 64 --db "$DB"
        count $?
      done
      ;;
    cache)
      for tokens in 1 64 1024; do
        step "cache_only_$tokens" 60 "$BIN/cache_only" "$DB" "preset=${PRESETS%% *}" "$tokens"
        count $?
      done
      ;;
    pack)
      # What was tuned as a pack, with the results of its kernels.
      TARGET=$(sed -n 's/.*"target": *"\([^"]*\)".*/\1/p' "$OUT/tune_${PRESETS%% *}.out" | head -1)
      step pack 60 "$BIN/rtjit" pack --target "$TARGET" -o "$OUT/tuned.rtpack" --db "$DB"
      count $?
      step verify_pack "${VERIFY_PACK_LIMIT:-240}" "$BIN/rtjit" verify-pack "$OUT/tuned.rtpack" --require-results
      count $?
      ;;
    bench)
      for preset in $PRESETS; do
        step "bench_$preset" "${BENCH_LIMIT:-150}" "$BIN/rtjit" bench moe_mxfp4 --preset "$preset" --db "$DB" --json \
          --svg "$OUT/bench_$preset.svg"
        count $?
      done
      ;;
    retune)
      RETUNED=
      PREBUILT=${RTJIT_PREBUILT:-1}
      case ${RETUNE_FROM:-} in
        empty) FRESH=1 ;;
        nothing) FRESH=1 PREBUILT=0 ;;
        *) FRESH=0; cp "$DB" "$WORK/retune.db" || exit 2 ;;
      esac
      for run in $(seq "${RETUNES:-5}"); do
        [ "$FRESH" -eq 0 ] || rm -rf "$WORK"/retune.db*
        step "retune_$run" "${TUNE_LIMIT:-150}" env RTJIT_PREBUILT="$PREBUILT" "$BIN/rtjit" tune moe_mxfp4 --preset "${PRESETS%% *}" --force --db "$WORK/retune.db" --json
        count $?
        RETUNED="$RETUNED $OUT/retune_$run.out"
      done
      ;;
    sweep)
      for preset in $PRESETS; do
        sweep="$WORK/sweep_$preset.db"
        step "sweep_$preset" $((${SWEEP_BUDGET:-150} + 60)) "$BIN/rtjit" tune moe_mxfp4 --preset "$preset" \
          --tokens "${SWEEP_TOKENS:-1,16,64,1024,8192}" --strategy exhaustive --samples 5 --passes 0 \
          --budget "${SWEEP_BUDGET:-150}s" --db "$sweep" --json
        count $?
        for strategy in model halving; do
          step "replay_${strategy}_$preset" 60 "$BIN/rtjit" tune moe_mxfp4 --preset "$preset" --replay "$sweep" --strategy $strategy
          count $?
        done
        step "export_$preset" 30 "$BIN/rtjit" cache export --db "$sweep" -o "$OUT/sweep_$preset.txt"
        count $?
      done
      ;;
    sanitize)
      # Side by side: nothing is timed, and each leaves most of the GPU idle.
      for tool in $TOOLS; do
        step "$tool" "${SANITIZE_LIMIT:-170}" env RTJIT_TEST_CONFIGS="${CONFIGS:-3}" \
          "$SANITIZER" --tool "$tool" --error-exitcode 77 --print-limit 20 \
          "$BIN/test_device" --gtest_filter="$FILTER" &
        eval "pid_$tool=$!"
      done
      for tool in $TOOLS; do
        eval "wait \$pid_$tool"
        count $?
      done
      ;;
    *)
      echo "unknown step $what; known are: test misbehave tune pack cache bench retune sweep sanitize" >&2
      exit 2
      ;;
  esac
done

{
  echo "== steps"
  cat "$OUT/steps.txt"
  if [ -f "$OUT/device_tests.out" ]; then
    echo "== device tests"
    grep -E '^(NVIDIA|moe_mxfp4:|gemm_fp8_block:|\[  PASSED|\[  FAILED|\[==========\]| *[0-9]+ FAILED)' "$OUT/device_tests.out" | head -40
    grep -A 6 ': Failure' "$OUT/device_tests.out" | cut -c 1-400 | head -60
  fi
  if [ -f "$OUT/misbehaving.out" ]; then
    echo "== misbehaving kernels"
    grep -E '^(\[  PASSED|\[  FAILED|\[       OK)' "$OUT/misbehaving.out"
    grep -A 6 ': Failure' "$OUT/misbehaving.out" | cut -c 1-400 | head -60
  fi
  for tool in $TOOLS; do
    [ -f "$OUT/$tool.out" ] || continue
    echo "== $tool: $(cat "$OUT/$tool.out" "$OUT/$tool.log" | grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' | sed 's/=* *//')"
    grep -E '^(moe_mxfp4:|gemm_fp8_block:|\[  PASSED|\[  FAILED)' "$OUT/$tool.out"
  done
  for preset in $PRESETS; do
    [ -f "$OUT/tune_$preset.out" ] || continue
    echo "== tuned $preset"
    python3 - "$OUT/tune_$preset.out" "$OUT/tune_again_$preset.out" <<'PYTHON'
import json, sys
try:
    first, again = (json.load(open(name)) for name in sys.argv[1:3])
except (OSError, ValueError) as error:
    sys.exit(f"no result: {error}")
print(f"{first['device']}: {first['compiled']} compiled, {first['total_ms'] / 1e3:.1f} s; "
      f"again {again['total_ms'] / 1e3:.2f} s")
print(f"{'stage':8}{'bucket':>7}{'winner us':>11}{'default us':>11}{'gain':>7}{'measured':>9}  how known, config")
for w in first["winners"]:
    gain = w["default_time_us"] / w["time_us"] if w["time_us"] else 0
    print(f"{w['stage']:8}{w['bucket']:7}{w['time_us']:11.1f}{w['default_time_us']:11.1f}{gain:7.2f}{w['measured']:9}"
          f"  {w['knowledge']}{'' if w['verified'] else ', NOT VERIFIED'}, {w['variant']} {w['config']}")
for warning in first["warnings"]:
    print("warning:", warning)
PYTHON
  done
  for preset in $PRESETS; do
    [ -f "$OUT/bench_$preset.out" ] || continue
    echo "== bench $preset"
    python3 - "$OUT/bench_$preset.out" <<'PYTHON'
import json, sys
try:
    report = json.load(open(sys.argv[1]))
except (OSError, ValueError) as error:
    sys.exit(f"no result: {error}")
ceilings = report["ceilings"]
print(f"{report['device']}: reads {ceilings['read_tb_per_s']:.2f} TB/s, copies {ceilings['copy_tb_per_s']:.2f} TB/s; "
      + ", ".join(f"{m['type']} {m['tflop_per_s']:.0f} TFLOP/s ({m['unit']})" for m in ceilings["math"]))
number = lambda value: "-" if value is None else f"{value:.1f}"
print(f"{'tokens':>7}{'us':>9}{'TB/s':>7}{'TFLOP/s':>9}{'floor us':>10}{'of floor':>10}{'default us':>12}{'reference us':>14}")
for r in report["rows"]:
    print(f"{r['tokens']:7}{number(r['time_us']):>9}{r['tb_per_s']:7.2f}{r['tflop_per_s']:9.1f}{r['floor_us']:10.1f}"
          f"{100 * r['of_floor']:9.0f}%{number(r['default']['time_us']):>12}{number(r['reference']['time_us']):>14}")
for note in report["notes"]:
    print("note:", note)
PYTHON
  done
  if [ -f "$OUT/verify_pack.out" ]; then
    echo "== pack"
    cut -c 1-200 "$OUT/verify_pack.out"
  fi
  if [ -n "${RETUNED:-}" ]; then
    echo "== ${PRESETS%% *} tuned again"
    # shellcheck disable=SC2086
    python3 "$(dirname "$0")/retune_table.py" $RETUNED
  fi
  for preset in $PRESETS; do
    for replay in "$OUT"/replay_*_"$preset".out; do
      [ -f "$replay" ] || continue
      echo "== $(basename "$replay" .out)"
      grep "^regret" "$replay"
    done
  done
  end_of_summary "$OUT"/cache_only_*.out
} > "$OUT/summary.txt" 2>&1
cat "$OUT/summary.txt"
exit "$FAILED"
