#include "tests/silicon/record.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "emulator/numeric.h"
#include "tests/silicon/inputs.h"

namespace rtjit::silicon {
namespace {

constexpr size_t kChunk = 256;
constexpr char kMagic[] = "rtjit silicon 1";

void put(std::string* out, uint64_t value) { out->append(reinterpret_cast<const char*>(&value), 8); }
void put(std::string* out, std::string_view text) {
  put(out, text.size());
  out->append(text);
}

// Reads what put() wrote; `failed` after the end.
struct Cursor {
  std::string_view rest;
  bool failed = false;
  uint64_t number() {
    uint64_t value = 0;
    if (rest.size() < 8) return failed = true, 0;
    std::memcpy(&value, rest.data(), 8);
    rest.remove_prefix(8);
    return value;
  }
  std::string text() {
    uint64_t size = number();
    if (failed || rest.size() < size) return failed = true, std::string();
    std::string value(rest.substr(0, size));
    rest.remove_prefix(size);
    return value;
  }
};

uint32_t chunk_hash(const std::vector<uint8_t>& bytes, size_t at) {
  return static_cast<uint32_t>(hash_bytes(&bytes[at], std::min(kChunk, bytes.size() - at), at));
}

// Distance in units of the last place, as the difference of the ordered bit patterns.
double ulps_between(uint64_t a, uint64_t b, int bits) {
  uint64_t sign = uint64_t(1) << (bits - 1);
  auto ordered = [&](uint64_t x) {
    auto magnitude = static_cast<double>(x & (sign - 1));
    return x & sign ? -magnitude : magnitude;
  };
  return std::fabs(ordered(a) - ordered(b));
}

double value_of(uint64_t bits, Element element) {
  switch (element) {
    case Element::f16x2:
      return emu::half_to_float(static_cast<uint32_t>(bits));
    case Element::bf16x2:
      return emu::bf16_to_float(static_cast<uint32_t>(bits));
    case Element::f64:
      return std::bit_cast<double>(bits);
    default:
      return std::bit_cast<float>(static_cast<uint32_t>(bits));
  }
}

int bits_of(Element element) {
  return element == Element::f64 ? 64 : element == Element::f16x2 || element == Element::bf16x2 ? 16 : 32;
}

}  // namespace

Record make_record(const Case& c, const std::vector<uint8_t>& results, bool full) {
  Record record{fingerprint(c), c.bound.exact() && !full && results.size() > kChunk, results};
  if (!record.digested) return record;
  record.bytes.resize(kChunk);
  for (size_t at = kChunk; at < results.size(); at += kChunk) {
    uint32_t hash = chunk_hash(results, at);
    const auto* p = reinterpret_cast<const uint8_t*>(&hash);
    record.bytes.insert(record.bytes.end(), p, p + 4);
  }
  return record;
}

Status save(const RecordFile& file, const std::string& path) {
  std::string plain;
  put(&plain, kMagic);
  put(&plain, file.device);
  put(&plain, file.driver);
  put(&plain, file.records.size());
  for (const auto& [name, record] : file.records) {
    put(&plain, name);
    put(&plain, record.fingerprint);
    put(&plain, uint64_t(record.digested));
    put(&plain, std::string_view(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size()));
  }
  std::string packed(8 + ZSTD_compressBound(plain.size()), 0);
  uint64_t size = plain.size();
  std::memcpy(packed.data(), &size, 8);
  size_t used = ZSTD_compress(packed.data() + 8, packed.size() - 8, plain.data(), plain.size(), 19);
  if (ZSTD_isError(used))
    return make_error(ErrorCode::internal, "compressing records: {}", ZSTD_getErrorName(used));
  packed.resize(8 + used);
  std::ofstream out(path, std::ios::binary);
  if (!out.write(packed.data(), static_cast<std::streamsize>(packed.size())))
    return make_error(ErrorCode::io, "{} could not be written", path);
  return {};
}

Result<RecordFile> load_records(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return make_error(ErrorCode::io, "{} could not be read", path);
  std::string packed((std::istreambuf_iterator<char>(in)), {});
  uint64_t size = 0;
  if (packed.size() >= 8) std::memcpy(&size, packed.data(), 8);
  std::string plain(std::min<uint64_t>(size, uint64_t(1) << 30), 0);
  size_t used = packed.size() < 8
                    ? 0
                    : ZSTD_decompress(plain.data(), plain.size(), packed.data() + 8, packed.size() - 8);
  Cursor cursor{plain};
  RecordFile file;
  if (ZSTD_isError(used) || used != size || cursor.text() != kMagic)
    return make_error(ErrorCode::io, "{} is no file of silicon records", path);
  file.device = cursor.text();
  file.driver = cursor.text();
  uint64_t count = cursor.number();
  for (uint64_t i = 0; i < count && !cursor.failed; ++i) {
    std::string name = cursor.text();
    Record record;
    record.fingerprint = cursor.number();
    record.digested = cursor.number() != 0;
    std::string bytes = cursor.text();
    record.bytes.assign(bytes.begin(), bytes.end());
    file.records.emplace(std::move(name), std::move(record));
  }
  if (cursor.failed) return make_error(ErrorCode::io, "{} is cut off", path);
  return file;
}

std::string compare(const Case& c, const Record& record, const std::vector<uint8_t>& results, double* worst) {
  size_t raw = record.digested ? std::min(kChunk, results.size()) : results.size();
  size_t hashes = record.digested ? (results.size() - raw + kChunk - 1) / kChunk * 4 : 0;
  if (record.bytes.size() != raw + hashes)
    return fmt::format("the record holds {} B where {} B are expected", record.bytes.size(), raw + hashes);
  size_t bytes = static_cast<size_t>(bits_of(c.element)) / 8, wrong = 0;
  std::string first;
  for (size_t at = 0; at + bytes <= raw; at += bytes) {
    uint64_t silicon = 0, here = 0;
    std::memcpy(&silicon, &record.bytes[at], bytes);
    std::memcpy(&here, &results[at], bytes);
    if (silicon == here) continue;
    double ulps = ulps_between(silicon, here, bits_of(c.element));
    if (!c.bound.exact()) {
      double x = value_of(silicon, c.element), y = value_of(here, c.element);
      if (std::isnan(x) && std::isnan(y)) continue;
      bool near =
          !std::isnan(x) && !std::isnan(y) && (ulps <= c.bound.ulps || std::fabs(x - y) <= c.bound.absolute);
      if (worst && !std::isnan(x) && !std::isnan(y)) *worst = std::max(*worst, ulps);
      if (near) continue;
    }
    if (wrong++ == 0)
      first = fmt::format("word {}: silicon {:#x}, here {:#x} ({} ulp)", at / bytes, silicon, here, ulps);
  }
  for (size_t i = 0; i * 4 < hashes; ++i) {
    uint32_t hash = chunk_hash(results, raw + i * kChunk), stored = 0;
    std::memcpy(&stored, &record.bytes[raw + i * 4], 4);
    if (hash == stored) continue;
    if (wrong++ == 0) first = fmt::format("the bytes from {} on differ", raw + i * kChunk);
  }
  return wrong ? fmt::format("{} differences; {}", wrong, first) : std::string();
}

std::string bounds_table() {
  std::map<std::string, std::pair<Bound, std::string>> by_reason;
  for (const Case& c : all_cases()) {
    if (c.bound.exact()) continue;
    auto& [bound, forms] = by_reason[c.bound.reason];
    bound = c.bound;
    std::string form = c.name.substr(0, c.name.find(' '));
    if (forms.find("`" + form + "`") == std::string::npos)
      forms += (forms.empty() ? "`" : ", `") + form + "`";
  }
  std::string table = "| forms | ulps | or absolute | reason |\n|---|---|---|---|\n";
  for (const auto& [reason, entry] : by_reason)
    table +=
        fmt::format("| {} | {} | {} | {} |\n", entry.second, entry.first.ulps, entry.first.absolute, reason);
  return table;
}

}  // namespace rtjit::silicon
