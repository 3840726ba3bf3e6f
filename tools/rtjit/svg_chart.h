// Small charts as SVG text, complete in themselves: no script, no style sheet, no font of their own.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace rtjit {

// One named row of bars, a bar per label; a value of 0 or less leaves its bar out.
struct BarSeries {
  std::string name;
  std::vector<double> values;
};
// Bars side by side per label, with their values written on them (`decimals` digits).
std::string bar_chart(const std::string& title, const std::string& unit,
                      const std::vector<std::string>& labels, const std::vector<BarSeries>& series,
                      int decimals);

// A point of a scatter plot; `label` is shown where the pointer rests, `tag` beside it.
struct ScatterPoint {
  double x = 0, y = 0;
  std::string label;
  int series = 0;
  std::string tag{};
};
struct ScatterLine {
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  std::string label;
};
struct ScatterChart {
  std::string title, x_label, y_label;
  std::vector<std::string> series;  // names, for the legend
  std::vector<ScatterPoint> points;
  std::vector<ScatterLine> lines;
  // Places that the axes cover besides the points, so that lines through them are seen.
  std::vector<std::pair<double, double>> covered{};
};
// Both axes logarithmic; points and line ends that are not positive are left out.
std::string scatter_chart(const ScatterChart& chart);

// cells[row][column], 0 or less = nothing known. The smallest value is the darkest.
struct HeatMap {
  std::string title, x_label, y_label;
  std::vector<std::string> x, y;
  std::vector<std::vector<double>> cells;
};
std::string heat_map(const HeatMap& map);

// &, <, > and quotes as entities, for text and attributes of HTML and SVG.
std::string escape_markup(const std::string& text);

}  // namespace rtjit
