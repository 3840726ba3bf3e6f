// Sums of the time that named parts of some work took; what `rtjit tune --timings` shows below a phase.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>

namespace rtjit {

using PhaseParts = std::map<std::string, std::map<std::string, double>>;  // phase -> part -> milliseconds

class PartTimes {
 public:
  // Adds the time until it goes out of scope.
  class Span {
   public:
    Span(PartTimes& times, const char* part) : times_(times), part_(part) {}
    ~Span() {
      const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start_;
      times_.ms_[part_] += time.count();
    }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    PartTimes& times_;
    const char* part_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  };

  Span span(const char* part) { return Span(*this, part); }
  // The sums so far, which begin anew.
  std::map<std::string, double> take() { return std::exchange(ms_, {}); }

 private:
  std::map<std::string, double> ms_;
};

}  // namespace rtjit
