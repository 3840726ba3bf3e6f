// rtjit cache show: one binary in full, with the rows that name it, quarantine included.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cache/contents.h"
#include "cache/row_text.h"
#include "tools/rtjit/cache_options.h"

namespace rtjit {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxListed = 10;

struct ShowOptions : CacheOptions {
  std::string prefix;
};

// The one key that begins with the prefix, among binaries and the rows whose binary is gone.
Result<std::string> resolve(const Contents& contents, const std::string& prefix) {
  std::vector<std::string> keys;
  for (const StoredBinary& binary : contents.binaries) keys.push_back(binary.key);
  for (const TuningRow& row : contents.rows) keys.push_back(row.binary_key);
  for (const QuarantineRow& row : contents.quarantine) keys.push_back(row.binary_key);
  std::erase_if(keys, [&](const std::string& key) { return key.empty() || !key.starts_with(prefix); });
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  if (keys.empty()) {
    return make_error(ErrorCode::not_found,
                      "no binary key begins with '{}'; keys are in `binary_key` of `rtjit cache export`",
                      prefix);
  }
  if (keys.size() == 1) return keys.front();
  const size_t listed = std::min(keys.size(), kMaxListed);
  return make_error(ErrorCode::invalid_argument, "'{}' fits {} keys; give more of it: {}{}", prefix,
                    keys.size(),
                    join({keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(listed)}, ", "),
                    keys.size() > listed ? ", ..." : "");
}

// Everything but the bytes of the frames, and the lists as JSON rather than as text.
Json binary_json(const StoredBinary& binary) {
  Json out = Json::parse(to_line(binary));
  for (const char* list : {"kernels", "features"}) {
    if (out.contains(list)) out[list] = Json::parse(out[list].get<std::string>(), nullptr, false);
  }
  out["cubin"] = fmt::format("{} B, {} B stored", binary.cubin_bytes, binary.cubin.size());
  out["ptx"] = fmt::format("{} B, {} B stored", binary.ptx_bytes, binary.ptx.size());
  return out;
}

void print_object(const Json& object, int indent) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_array()) {
      fmt::print("{:{}}{}\n", "", indent, name);
      for (const Json& item : value) fmt::print("{:{}}{}\n", "", indent + 2, item.dump());
    } else {
      fmt::print("{:{}}{:<14} {}\n", "", indent, name,
                 value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
}

int run_show(const ShowOptions& options) {
  auto path = options.path();
  if (!path) return fail(path.error());
  auto contents = read_contents(*path);
  if (!contents) return fail(contents.error());
  auto key = resolve(*contents, options.prefix);
  if (!key) return fail(key.error());
  Json out = {{"key", *key}, {"binary", nullptr}, {"rows", Json::array()}, {"quarantine", Json::array()}};
  for (const StoredBinary& binary : contents->binaries) {
    if (binary.key == *key) out["binary"] = binary_json(binary);
  }
  for (const TuningRow& row : contents->rows) {
    if (row.binary_key == *key) out["rows"].push_back(Json::parse(to_line(row)));
  }
  for (const QuarantineRow& row : contents->quarantine) {
    if (row.binary_key == *key) out["quarantine"].push_back(Json::parse(to_line(row)));
  }
  if (options.json) {
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  if (out["binary"].is_null()) {
    fmt::print("binary {}: not stored, only named by rows\n", *key);
  } else {
    print_object(out["binary"], 0);
  }
  for (const char* list : {"rows", "quarantine"}) {
    for (const Json& row : out[list]) {
      fmt::print("\n");
      print_object(row, 0);
    }
  }
  return 0;
}

}  // namespace

void add_cache_show(CLI::App& cache, Action* action) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* verb = cache.add_subcommand("show", "One binary in full, with the rows that name it");
  options->add_to(*verb);
  verb->add_option("KEY-PREFIX", options->prefix, "The beginning of a binary's key")->required();
  verb->callback([options, action] { *action = [options] { return run_show(*options); }; });
}

}  // namespace rtjit
