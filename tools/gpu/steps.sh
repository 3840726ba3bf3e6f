# Steps on a machine with a GPU, for the scripts beside this one, which source it once OUT names a folder. FAILED counts
# those that failed.
FAILED=0
: > "$OUT/steps.txt"

# step NAME LIMIT COMMAND...: runs it, keeps its output, notes its exit code and time.
step() {
  name=$1 limit=$2
  shift 2
  begin=$(date +%s)
  timeout -k 5 "$limit" "$@" > "$OUT/$name.out" 2> "$OUT/$name.log"
  code=$?
  echo "$name exit $code, $(($(date +%s) - begin)) s" | tee -a "$OUT/steps.txt"
  return $code
}
count() { [ "$1" -eq 0 ] || FAILED=$((FAILED + 1)); }

# end_of_summary FILE...: outputs in full, the last lines of every log, how many steps failed.
end_of_summary() {
  for file in "$@"; do
    [ -f "$file" ] || continue
    echo "== $(basename "$file" .out)"
    cat "$file"
  done
  for log in "$OUT"/*.log; do
    [ -s "$log" ] || continue
    echo "== last lines of $(basename "$log")"
    tail -n 4 "$log" | cut -c 1-300
  done
  echo "== $FAILED steps failed"
}
