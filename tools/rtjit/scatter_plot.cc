#include "tools/rtjit/scatter_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rtjit {
namespace {

constexpr double kSize = 560, kLeft = 80, kTop = 50, kBottom = 60;
constexpr const char* kColours[] = {"#1b6ca8", "#d1495b", "#3f8f5f", "#8b5fbf", "#b8801f", "#4a4a4a"};

std::string escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

// Both axes have one range of whole powers of ten, so that equal values lie on the diagonal.
struct Axis {
  double low = 0, high = 1;  // powers of ten
  double at(double value) const { return (std::log10(value) - low) / (high - low) * kSize; }
};

Axis axis_of(const std::vector<ScatterPoint>& points) {
  Axis axis;
  if (points.empty()) return axis;
  double low = points.front().x, high = low;
  for (const ScatterPoint& point : points) {
    low = std::min({low, point.x, point.y});
    high = std::max({high, point.x, point.y});
  }
  axis.low = std::floor(std::log10(low));
  axis.high = std::max(axis.low + 1, std::ceil(std::log10(high)));
  return axis;
}

}  // namespace

std::string scatter_plot_svg(const std::string& title, const std::string& x_title, const std::string& y_title,
                             const std::vector<ScatterPoint>& points) {
  const Axis axis = axis_of(points);
  const double width = kLeft + kSize + 20, height = kTop + kSize + kBottom;
  auto x = [&](double value) { return kLeft + axis.at(value); };
  auto y = [&](double value) { return kTop + kSize - axis.at(value); };
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n"
      "<text x=\"{2}\" y=\"20\" font-size=\"15\">{3}</text>\n",
      width, height, kLeft, escape(title));
  for (int power = static_cast<int>(axis.low); power <= static_cast<int>(axis.high); ++power) {
    const double value = std::pow(10.0, power);
    out += fmt::format(
        "<path d=\"M{0:.1f} {1}V{2}M{3} {4:.1f}H{5}\" stroke=\"#dddddd\"/>\n"
        "<text x=\"{0:.1f}\" y=\"{6}\" text-anchor=\"middle\">{8:g}</text>\n"
        "<text x=\"{7}\" y=\"{4:.1f}\" text-anchor=\"end\" dy=\"4\">{8:g}</text>\n",
        x(value), kTop, kTop + kSize, kLeft, y(value), kLeft + kSize, kTop + kSize + 18, kLeft - 6, value);
  }
  const double low = std::pow(10.0, axis.low), high = std::pow(10.0, axis.high);
  auto line = [&](double factor, const char* colour) {  // y = factor * x, within the frame
    double from = std::max(low, low / factor), to = std::min(high, high / factor);
    out += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" stroke=\"{}\" fill=\"none\"/>\n", x(from),
                       y(from * factor), x(to), y(to * factor), colour);
  };
  line(1, "#555555");
  line(2, "#cccccc");
  line(0.5, "#cccccc");
  std::vector<std::string> series;
  for (const ScatterPoint& point : points) {
    if (std::find(series.begin(), series.end(), point.series) == series.end()) series.push_back(point.series);
  }
  std::sort(series.begin(), series.end());
  auto colour = [&](const std::string& name) {
    auto place = static_cast<size_t>(std::find(series.begin(), series.end(), name) - series.begin());
    return kColours[place % std::size(kColours)];
  };
  for (const ScatterPoint& point : points) {
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2\" fill=\"{}\" fill-opacity=\"0.5\"/>\n",
                       x(point.x), y(point.y), colour(point.series));
  }
  double row = kTop + 16;
  for (const std::string& name : series) {
    out += fmt::format(
        "<circle cx=\"{0}\" cy=\"{1}\" r=\"4\" fill=\"{2}\"/><text x=\"{3}\" y=\"{1}\" dy=\"4\">{4}</text>\n",
        kLeft + 14, row, colour(name), kLeft + 24, escape(name));
    row += 18;
  }
  out += fmt::format(
      "<text x=\"{0}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>\n"
      "<text transform=\"translate(18 {3}) rotate(-90)\" text-anchor=\"middle\">{4}</text>\n</svg>\n",
      kLeft + kSize / 2, height - 12, escape(x_title), kTop + kSize / 2, escape(y_title));
  return out;
}

}  // namespace rtjit
