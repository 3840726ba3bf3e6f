// The reader of databases, as a layer beneath the user's one and as a whole.
#include "cache/contents.h"
#include "cache/store.h"
#include "cache/verify.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rtjit;
  const std::string& path = fuzz::as_file(data, size);
  {
    StoreOptions options;
    options.path = ":memory:";
    options.read_only = {path};
    options.warn = [](const std::string& message) {
      fuzz::expect(!message.empty(), "a warning says something");
    };
    const auto store = Store::open(options);
    fuzz::expect(store.ok(), "a damaged layer is no error");
    RowKey everything;
    everything.bucket = -1;
    const auto rows = (*store)->rows(everything);
    fuzz::expect(rows.ok(), "a damaged layer is a miss");
    for (const TuningRow& row : *rows) {
      if (row.binary_key.empty()) continue;
      const auto binary = (*store)->find_binary(row.binary_key);
      fuzz::expect(binary.ok(), "a damaged binary is a miss");
    }
    WinnerRow any;
    any.bucket = -1;
    fuzz::expect((*store)->winners(any).ok(), "a damaged layer is a miss");
  }
  (void)read_contents(path);
  (void)verify_database(path);
  return 0;
}
