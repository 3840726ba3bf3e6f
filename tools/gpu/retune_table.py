#!/usr/bin/env python3
"""How alike several tunes of one problem came out: tools/gpu/retune_table.py REPORT.json... (of `rtjit tune --json`)

Prints in how many stages and buckets they had the same winner each time; of the others, and of those in which a contender
came near a threshold, the winner of each tune, and the ratio of each contender to the fastest in all its passes.
"""
import json
import statistics
import sys
from collections import Counter

TIE, KEPT = 1.01, 1.03  # tuner/ranking.h
NEAR = 0.003  # of a threshold


def name(row):
    return f"{row['variant']} {row['config']}"


def ratios(row):
    """Of each contender: its settled ratio to the fastest and, by pass, the one that the pass alone saw."""
    contenders = row.get("contenders") or []
    fastest = [min(times) for times in zip(*(c["times_us"] for c in contenders))]
    return {name(c): (c["of_fastest"], [t / f for t, f in zip(c["times_us"], fastest)]) for c in contenders}


def is_near(rows):
    settled = {}
    for row in rows:
        for config, (ratio, _) in ratios(row).items():
            settled.setdefault(config, []).append(ratio)
    return any(abs(statistics.median(r) - edge) < NEAR for r in settled.values() for edge in (TIE, KEPT))


def describe(rows):
    counts = Counter(name(row) for row in rows)
    usual = counts.most_common(1)[0][0]
    means = {c: statistics.mean(row["time_us"] for row in rows if name(row) == c) for c in counts}
    yield "; ".join(f"{config} ({n} times, {means[config]:.2f} us, {100 * (means[config] / means[usual] - 1):+.1f} %)"
                    for config, n in counts.most_common())
    for row in rows:
        yield f"    {row['time_us']:9.2f} us  {name(row)}: {row['why']}"
        for config, (ratio, passes) in sorted(ratios(row).items(), key=lambda item: item[1][0]):
            seen = " ".join(f"{100 * (p - 1):+.1f}" for p in passes)
            yield f"        {100 * (ratio - 1):+5.2f} %  {config}  (by pass: {seen})"


def main(files):
    if len(files) < 2:
        sys.exit(__doc__.strip())
    tunes, times, settling, passes = {}, [], [], 0
    for file_name in files:
        try:
            with open(file_name) as file:
                report = json.load(file)
        except (OSError, ValueError) as error:
            sys.exit(f"{file_name}: no report: {error}")
        times.append(report["total_ms"] / 1e3)
        settling.append(report["phase_ms"].get("settle", 0) / 1e3)
        for row in report["winners"]:
            tunes.setdefault((row["stage"], row["bucket"]), []).append(row)
            passes += len(row["contenders"][0]["times_us"]) if row.get("contenders") else 0
    same = [key for key, rows in tunes.items() if len({name(row) for row in rows}) == 1]
    print(f"{len(files)} tunes of {min(times):.1f} to {max(times):.1f} s, {min(settling):.1f} to {max(settling):.1f} s of it "
          f"to settle winners in {passes} passes; the same winner each time in {len(same)} of {len(tunes)} stages and "
          f"buckets, {100 * len(same) / len(tunes):.0f} %")
    for heading, wanted in (("not the same winner", lambda key: key not in same),
                            ("the same winner, with a contender near a threshold",
                             lambda key: key in same and is_near(tunes[key]))):
        shown = [key for key in tunes if wanted(key)]
        print(f"-- {heading}: {len(shown)}")
        for key in shown:
            lines = describe(tunes[key])
            print(f"{key[0]}, {key[1]}: {next(lines)}")
            for line in lines:
                print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
