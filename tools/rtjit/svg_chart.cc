#include "tools/rtjit/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace rtjit {
namespace {

constexpr std::array<const char*, 6> kColours = {"#2b6cb0", "#dd6b20", "#2f855a",
                                                 "#805ad5", "#b83280", "#718096"};
const char* colour(int series) { return kColours[static_cast<size_t>(series) % kColours.size()]; }

constexpr double kLeft = 64, kTop = 40, kBottom = 46, kRight = 16;

std::string open_svg(double width, double height, const std::string& title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\" font-family=\"sans-serif\" font-size=\"11\">\n<title>{2}</title>\n"
      "<text x=\"{3:.0f}\" y=\"16\" font-size=\"13\" font-weight=\"bold\">{2}</text>\n",
      width, height, escape_markup(title), kLeft);
}

std::string text(double x, double y, const std::string& words, const char* anchor = "middle",
                 const char* extra = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, extra,
                     escape_markup(words));
}

std::string legend(const std::vector<std::string>& names, double x) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("<rect x=\"{:.0f}\" y=\"22\" width=\"10\" height=\"10\" fill=\"{}\"/>\n", x,
                       colour(static_cast<int>(i)));
    out += text(x + 14, 31, names[i], "start");
    x += 30 + 6.5 * static_cast<double>(names[i].size());
  }
  return out;
}

// A logarithmic axis over whole decades.
struct LogAxis {
  double low = 1, high = 10, from = 0, to = 1;

  void cover(double value) {
    if (!seen) low = high = value;
    seen = true;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void round_to_decades() {
    low = std::pow(10, std::floor(std::log10(low)));
    high = std::pow(10, std::ceil(std::log10(high)));
    if (high <= low) high = low * 10;
  }
  double at(double value) const {
    return from + (to - from) * (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low));
  }
  bool seen = false;
};

}  // namespace

std::string escape_markup(const std::string& words) {
  std::string out;
  for (char c : words) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string bar_chart(const std::string& title, const std::string& unit,
                      const std::vector<std::string>& labels, const std::vector<BarSeries>& series,
                      int decimals) {
  const double bar = 22, gap = 14, height = 260;
  size_t longest = 0;
  for (const std::string& label : labels) longest = std::max(longest, label.size());
  const double group =
      std::max(bar * static_cast<double>(series.size()), 7.0 * static_cast<double>(longest)) + gap;
  const double width = std::max(360.0, kLeft + kRight + group * static_cast<double>(labels.size()));
  const double base = height - kBottom, span = base - kTop - 14;
  double most = 0;
  for (const BarSeries& s : series) {
    for (double value : s.values) most = std::max(most, value);
  }
  std::string out = open_svg(width, height, title);
  std::vector<std::string> names;
  for (const BarSeries& s : series) names.push_back(s.name);
  if (names.size() > 1) out += legend(names, kLeft);
  out += fmt::format("<line x1=\"{0:.0f}\" y1=\"{1:.0f}\" x2=\"{2:.0f}\" y2=\"{1:.0f}\" stroke=\"#444\"/>\n",
                     kLeft, base, width - kRight);
  out += text(kLeft - 6, kTop + 20, unit, "end");
  for (size_t i = 0; i < labels.size(); ++i) {
    const double x = kLeft + gap / 2 + group * static_cast<double>(i);
    out += text(x + (group - gap) / 2, base + 16, labels[i]);
    for (size_t s = 0; s < series.size(); ++s) {
      const double value = i < series[s].values.size() ? series[s].values[i] : 0;
      if (value <= 0 || most <= 0) continue;
      const double tall = span * value / most, left = x + bar * static_cast<double>(s);
      out += fmt::format(
          "<rect class=\"bar\" data-value=\"{:.6g}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.0f}\" "
          "height=\"{:.1f}\" "
          "fill=\"{}\"><title>{} {}: {:.{}f}</title></rect>\n",
          value, left + 1, base - tall, bar - 2, tall, colour(static_cast<int>(s)),
          escape_markup(series[s].name), escape_markup(labels[i]), value, decimals);
      out += text(left + bar / 2, base - tall - 3, fmt::format("{:.{}f}", value, decimals), "middle",
                  "font-size=\"8\"");
    }
  }
  return out + "</svg>\n";
}

std::string scatter_chart(const ScatterChart& chart) {
  const double width = 560, height = 420;
  LogAxis x, y;
  for (const ScatterPoint& p : chart.points) {
    if (p.x > 0 && p.y > 0) x.cover(p.x), y.cover(p.y);
  }
  for (const auto& [at_x, at_y] : chart.covered) {
    if (at_x > 0 && at_y > 0) x.cover(at_x), y.cover(at_y);
  }
  if (!x.seen) x.cover(1), y.cover(1);
  x.round_to_decades();
  y.round_to_decades();
  x.from = kLeft, x.to = width - kRight;
  y.from = height - kBottom, y.to = kTop;
  std::string out = open_svg(width, height, chart.title) + legend(chart.series, kLeft);
  for (double decade = x.low; decade <= x.high * 1.001; decade *= 10) {
    out +=
        fmt::format("<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>\n",
                    x.at(decade), y.from, y.to);
    out += text(x.at(decade), y.from + 14, fmt::format("{:g}", decade));
  }
  for (double decade = y.low; decade <= y.high * 1.001; decade *= 10) {
    out +=
        fmt::format("<line x1=\"{1:.1f}\" y1=\"{0:.1f}\" x2=\"{2:.1f}\" y2=\"{0:.1f}\" stroke=\"#ddd\"/>\n",
                    y.at(decade), x.from, x.to);
    out += text(x.from - 5, y.at(decade) + 4, fmt::format("{:g}", decade), "end");
  }
  out += text((x.from + x.to) / 2, height - 8, chart.x_label);
  out += text(14, (y.from + y.to) / 2, chart.y_label, "middle",
              fmt::format("transform=\"rotate(-90 14 {:.0f})\"", (y.from + y.to) / 2).c_str());
  for (const ScatterLine& line : chart.lines) {
    if (line.x1 <= 0 || line.x2 <= 0 || line.y1 <= 0 || line.y2 <= 0) continue;
    // Cut off at the frame; on logarithmic axes these lines are straight.
    auto inside = [&](double value, const LogAxis& axis) { return std::clamp(value, axis.low, axis.high); };
    const double slope = std::log10(line.y2 / line.y1) / std::log10(line.x2 / line.x1);
    auto y_of = [&](double at) { return line.y1 * std::pow(at / line.x1, slope); };
    auto x_of = [&](double at) { return slope == 0 ? line.x1 : line.x1 * std::pow(at / line.y1, 1 / slope); };
    double left = inside(line.x1, x), right = inside(line.x2, x);
    if (slope > 0) left = std::max(left, x_of(y.low)), right = std::min(right, x_of(y.high));
    if (left >= right || y_of(right) > y.high * 1.0001 || y_of(left) < y.low * 0.9999) continue;
    out += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e53e3e\" "
        "stroke-dasharray=\"4 3\"/>\n",
        x.at(left), y.at(y_of(left)), x.at(right), y.at(y_of(right)));
    // Rising lines end where level ones begin: their words stand halfway.
    const double at = slope > 0 ? std::sqrt(left * right) : right;
    out += text(x.at(at), y.at(y_of(at)) - 4, line.label, "end", "fill=\"#e53e3e\"");
  }
  for (const ScatterPoint& p : chart.points) {
    if (p.x <= 0 || p.y <= 0) continue;
    out += fmt::format(
        "<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\" "
        "fill-opacity=\"0.65\"><title>{}</title>"
        "</circle>\n",
        x.at(p.x), y.at(p.y), colour(p.series), escape_markup(p.label));
    if (p.tag.empty()) continue;
    const bool beside = x.at(p.x) < width - 60;
    out += text(x.at(p.x) + (beside ? 5 : -5), y.at(p.y) + 11, p.tag, beside ? "start" : "end",
                "font-size=\"9\"");
  }
  return out + "</svg>\n";
}

std::string heat_map(const HeatMap& map) {
  const double cell_width = 58, cell_height = 24;
  const double width = std::max(kLeft + 8 * static_cast<double>(map.title.size()),
                                kLeft + 20 + kRight + cell_width * static_cast<double>(map.x.size()));
  const double height = kTop + kBottom + cell_height * static_cast<double>(map.y.size());
  double low = 0, high = 0;
  for (const auto& row : map.cells) {
    for (double value : row) {
      if (value <= 0) continue;
      low = low == 0 ? value : std::min(low, value);
      high = std::max(high, value);
    }
  }
  std::string out = open_svg(width, height, map.title);
  for (size_t r = 0; r < map.y.size(); ++r) {
    const double top = kTop + cell_height * static_cast<double>(r);
    out += text(kLeft + 14, top + 16, map.y[r], "end");
    for (size_t c = 0; c < map.x.size(); ++c) {
      const double left = kLeft + 20 + cell_width * static_cast<double>(c), value = map.cells[r][c];
      // Twice the best time is as pale as it gets.
      const double pale = value > 0 ? std::min(1.0, value / low - 1) : 1;
      out += fmt::format(
          "<rect class=\"cell\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.0f}\" height=\"{:.0f}\" fill=\"{}\" "
          "stroke=\"#fff\"/>\n",
          left, top, cell_width, cell_height,
          value > 0
              ? fmt::format("rgb({:.0f},{:.0f},{:.0f})", 43 + 180 * pale, 108 + 125 * pale, 176 + 65 * pale)
              : "#f3f3f3");
      if (value > 0)
        out += text(left + cell_width / 2, top + 16, fmt::format("{:.4g}", value), "middle",
                    pale < 0.5 ? "fill=\"#fff\"" : "");
    }
  }
  for (size_t c = 0; c < map.x.size(); ++c)
    out += text(kLeft + 20 + cell_width * (static_cast<double>(c) + 0.5), height - kBottom + 14, map.x[c]);
  out += text(kLeft + 20 + cell_width * static_cast<double>(map.x.size()) / 2, height - 10, map.x_label);
  out += text(kLeft + 14, kTop - 6, map.y_label, "end");
  return out + "</svg>\n";
}

}  // namespace rtjit
