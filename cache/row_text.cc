#include "cache/row_text.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/base64.h"
#include "cache/row_fields.h"

namespace rtjit {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kRow = "row";
constexpr const char* kWinner = "winner";
constexpr const char* kQuarantine = "quarantine";
constexpr const char* kBinary = "binary";

template <typename Binary, typename Visit>
void visit_binary(Binary& binary, Visit&& visit) {
  visit("key", binary.key);
  visit("target", binary.target);
  visit("compiler", binary.compiler);
  visit("label", binary.label);
  visit("kernels", binary.kernels);
  visit("features", binary.features);
  visit("log", binary.log);
  visit("compile_ms", binary.compile_ms);
  visit("cubin_bytes", binary.cubin_bytes);
  visit("ptx_bytes", binary.ptx_bytes);
  visit("sha256", binary.sha256);
  visit("created_unix", binary.created_unix);
}

template <typename Content, typename Visit>
void visit_content(Content& content, Visit&& visit) {
  if constexpr (std::is_same_v<std::remove_const_t<Content>, StoredBinary>) {
    visit_binary(content, visit);
  } else {
    visit_all(content, visit);
  }
}

bool is_utf8(const std::string& text) {
  try {
    (void)OrderedJson(text).dump();
    return true;
  } catch (const OrderedJson::exception&) {
    return false;
  }
}

OrderedJson as_base64(std::string_view bytes) { return OrderedJson{{"base64", base64_encode(bytes)}}; }

struct Writer {
  OrderedJson& out;
  void operator()(const char* name, const std::string& value) {
    if (!value.empty()) out[name] = is_utf8(value) ? OrderedJson(value) : as_base64(value);
  }
  // JSON has no infinity and no NaN.
  void operator()(const char* name, double value) {
    if (std::isnan(value)) {
      out[name] = "nan";
    } else if (std::isinf(value)) {
      out[name] = value > 0 ? "inf" : "-inf";
    } else if (value != 0) {
      out[name] = value;
    }
  }
  void operator()(const char* name, int64_t value) {
    if (value != 0) out[name] = value;
  }
  void operator()(const char* name, int value) { (*this)(name, int64_t{value}); }
  void operator()(const char* name, bool value) {
    if (value) out[name] = true;
  }
  void operator()(const char* name, Verdict value) { out[name] = to_string(value); }
  void operator()(const char* name, Knowledge value) { out[name] = to_string(value); }
  void operator()(const char* name, Reached value) { out[name] = to_string(value); }
};

// Takes fields out of a JSON object; what is wrong first stays in `error`.
struct Taker {
  const OrderedJson& in;
  std::set<std::string> known{"kind"};
  std::string error{};

  const OrderedJson* find(const char* name) {
    known.insert(name);
    const auto found = in.find(name);
    return found == in.end() || !error.empty() ? nullptr : &*found;
  }
  void expected(const char* name, const char* what, const OrderedJson& value) {
    std::string came = value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    if (came.size() > 60) came = came.substr(0, 57) + "...";
    error = fmt::format("\"{}\" must be {}; came: {}", name, what, came);
  }

  void operator()(const char* name, std::string& value) {
    const OrderedJson* json = find(name);
    if (json == nullptr) return;
    if (json->is_string()) {
      value = json->get<std::string>();
      return;
    }
    if (json->is_object() && json->size() == 1 && json->contains("base64") &&
        json->at("base64").is_string()) {
      if (auto bytes = base64_decode(json->at("base64").get<std::string>())) {
        value = *std::move(bytes);
        return;
      }
    }
    expected(name, "text, or {\"base64\": text}", *json);
  }
  void operator()(const char* name, double& value) {
    const OrderedJson* json = find(name);
    if (json == nullptr) return;
    if (json->is_number()) {
      value = json->get<double>();
    } else if (*json == "nan") {
      value = std::numeric_limits<double>::quiet_NaN();
    } else if (*json == "inf" || *json == "-inf") {
      value = *json == "inf" ? HUGE_VAL : -HUGE_VAL;
    } else {
      expected(name, "a number, \"nan\", \"inf\" or \"-inf\"", *json);
    }
  }
  void operator()(const char* name, int64_t& value) { take_integer(name, value); }
  void operator()(const char* name, int& value) { take_integer(name, value); }
  template <typename Integer>
  void take_integer(const char* name, Integer& value) {
    const OrderedJson* json = find(name);
    if (json == nullptr) return;
    const bool too_large =
        json->is_number_unsigned() && json->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
    const int64_t number = json->is_number_integer() && !too_large ? json->get<int64_t>() : 0;
    using Limits = std::numeric_limits<Integer>;
    if (!json->is_number_integer() || too_large || number < Limits::min() || number > Limits::max()) {
      expected(name, "a whole number that fits its field", *json);
    } else {
      value = static_cast<Integer>(number);
    }
  }
  void operator()(const char* name, bool& value) {
    const OrderedJson* json = find(name);
    if (json == nullptr) return;
    if (!json->is_boolean()) return expected(name, "true or false", *json);
    value = json->get<bool>();
  }
  void operator()(const char* name, Verdict& value) { take_name(name, value, parse_verdict); }
  void operator()(const char* name, Knowledge& value) { take_name(name, value, parse_knowledge); }
  void operator()(const char* name, Reached& value) { take_name(name, value, parse_reached); }
  template <typename Enum>
  void take_name(const char* name, Enum& value, std::optional<Enum> (*parse)(std::string_view)) {
    const OrderedJson* json = find(name);
    if (json == nullptr) return;
    const auto parsed = json->is_string() ? parse(json->get<std::string>()) : std::nullopt;
    if (!parsed) return expected(name, "a name of docs/cache-format.md", *json);
    value = *parsed;
  }

  Status finish() {
    for (const auto& item : in.items()) {
      if (error.empty() && !known.contains(item.key()))
        error = fmt::format("unknown field \"{}\"", item.key());
    }
    if (error.empty()) return {};
    return Error{ErrorCode::invalid_argument, error};
  }
};

template <typename Content>
OrderedJson to_json(const Content& content, const char* kind) {
  OrderedJson out;
  out["kind"] = kind;
  visit_content(content, Writer{out});
  return out;
}

template <typename Row>
Result<LineContent> take_row(const OrderedJson& json) {
  Row row;
  Taker taker{json};
  visit_content(row, taker);
  if (Status status = taker.finish(); !status.ok()) return status.error();
  if (Status status = check_row(row); !status.ok()) return status.error();
  return LineContent(std::move(row));
}

// The frames of cubin and PTX are always bytes, so that they stand in base64 without saying so.
Result<LineContent> take_binary(const OrderedJson& json) {
  StoredBinary binary;
  Taker taker{json};
  visit_content(binary, taker);
  const std::pair<const char*, std::string*> frames[] = {{"cubin", &binary.cubin}, {"ptx", &binary.ptx}};
  for (const auto& [name, frame] : frames) {
    std::string text;
    taker(name, text);
    auto bytes = base64_decode(text);
    if (!bytes && taker.error.empty()) taker.error = fmt::format("\"{}\" is not base64", name);
    if (bytes) *frame = *std::move(bytes);
  }
  if (Status status = taker.finish(); !status.ok()) return status.error();
  if (binary.key.empty()) return make_error(ErrorCode::invalid_argument, "a binary needs a key");
  if (auto decoded = decode_binary(binary); !decoded.ok()) {
    return make_error(ErrorCode::invalid_argument, "the binary {} is damaged: {}", binary.key,
                      decoded.error().message);
  }
  return LineContent(std::move(binary));
}

}  // namespace

std::string to_line(const TuningRow& row) { return to_json(row, kRow).dump(); }
std::string to_line(const WinnerRow& row) { return to_json(row, kWinner).dump(); }
std::string to_line(const QuarantineRow& row) { return to_json(row, kQuarantine).dump(); }
std::string to_line(const StoredBinary& binary) {
  OrderedJson out = to_json(binary, kBinary);
  out["cubin"] = base64_encode(binary.cubin);
  out["ptx"] = base64_encode(binary.ptx);
  return out.dump();
}

Result<LineContent> parse_line(std::string_view line) {
  OrderedJson json;
  try {
    json = OrderedJson::parse(line);
  } catch (const OrderedJson::exception& error) {
    return make_error(ErrorCode::invalid_argument, "not JSON: {}", error.what());
  }
  if (!json.is_object()) return make_error(ErrorCode::invalid_argument, "not a JSON object");
  const auto kind = json.find("kind");
  if (kind != json.end() && *kind == kRow) return take_row<TuningRow>(json);
  if (kind != json.end() && *kind == kWinner) return take_row<WinnerRow>(json);
  if (kind != json.end() && *kind == kQuarantine) return take_row<QuarantineRow>(json);
  if (kind != json.end() && *kind == kBinary) return take_binary(json);
  return make_error(ErrorCode::invalid_argument,
                    "\"kind\" must be \"row\", \"winner\", \"quarantine\" or \"binary\"; came: {}",
                    kind == json.end() ? "none" : kind->dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
}

}  // namespace rtjit
