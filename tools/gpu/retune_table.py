#!/usr/bin/env python3
"""How alike several tunes of one problem came out: tools/gpu/retune_table.py REPORT.json... (of `rtjit tune --json`)

Prints, per stage and bucket that did not have the same winner each time, the winners and their times, and in how many it did.
"""
import json
import sys
from collections import Counter


def main(names):
    if len(names) < 2:
        sys.exit(__doc__.strip())
    winners, times = {}, []
    for name in names:
        try:
            with open(name) as file:
                report = json.load(file)
        except (OSError, ValueError) as error:
            sys.exit(f"{name}: no report: {error}")
        times.append(report["total_ms"] / 1e3)
        for row in report["winners"]:
            key = (row["stage"], row["bucket"])
            winners.setdefault(key, []).append((f"{row['variant']} {row['config']}", row["time_us"], row["why"]))
    same = [key for key, rows in winners.items() if len({config for config, _, _ in rows}) == 1]
    print(f"{len(names)} tunes of {min(times):.1f} to {max(times):.1f} s; the same winner each time in {len(same)} of "
          f"{len(winners)} stages and buckets, {100 * len(same) / len(winners):.0f} %")
    for key, rows in winners.items():
        if key in same:
            continue
        counts = Counter(config for config, _, _ in rows)
        usual = counts.most_common(1)[0][0]
        means = {c: sum(t for config, t, _ in rows if config == c) / n for c, n in counts.items()}
        print(f"{key[0]}, {key[1]}: " + "; ".join(
            f"{config} ({n} times, {means[config]:.2f} us, {100 * (means[config] / means[usual] - 1):+.1f} %)"
            for config, n in counts.most_common()))
        for config, time, why in rows:
            print(f"    {time:9.2f} us  {config}: {why}")


if __name__ == "__main__":
    main(sys.argv[1:])
