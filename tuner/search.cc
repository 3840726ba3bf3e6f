#include "tuner/search.h"

#include <utility>

namespace rtjit {

Status search(Strategy& strategy, Bench& bench, std::vector<Prospect>* prospects) {
  return search(strategy, strategy.next(*prospects), bench, prospects);
}

Status search(Strategy& strategy, Batch batch, Bench& bench, std::vector<Prospect>* prospects) {
  for (; !batch.empty(); batch = strategy.next(*prospects)) {
    if (Status status = bench.measure(batch, prospects); !status) return status;
    for (size_t index : batch.prospects) (*prospects)[index].asked = batch.samples;
  }
  return {};
}

}  // namespace rtjit
