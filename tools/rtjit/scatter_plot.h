// A scatter plot with logarithmic axes as one SVG file, which browsers and documents show without anything
// else.
#pragma once

#include <string>
#include <vector>

namespace rtjit {

struct ScatterPoint {
  std::string series;   // gives the colour
  double x = 0, y = 0;  // above 0
};

// A line marks x = y, two thinner ones a factor of two off it. Deterministic.
std::string scatter_plot_svg(const std::string& title, const std::string& x_title, const std::string& y_title,
                             const std::vector<ScatterPoint>& points);

}  // namespace rtjit
