#include "cache/binary_codec.h"

#include <zstd.h>

#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace rtjit {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxPartBytes = 256 << 20;  // far above any cubin; bounds what a damaged size can allocate
constexpr int kCompressionLevel = 9;  // a few milliseconds per binary; decoding speed does not depend on it

Result<std::string> compress(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kCompressionLevel);
  if (ZSTD_isError(size)) return make_error(ErrorCode::internal, "zstd: {}", ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

Result<std::string> decompress(std::string_view bytes, int64_t expected) {
  if (expected < 0 || expected > kMaxPartBytes) {
    return make_error(ErrorCode::corrupt, "a part of {} bytes; at most {} are allowed", expected,
                      kMaxPartBytes);
  }
  // zstd's own header must agree before anything is allocated.
  if (ZSTD_getFrameContentSize(bytes.data(), bytes.size()) != static_cast<unsigned long long>(expected)) {
    return make_error(ErrorCode::corrupt, "the compressed part is not one of {} bytes", expected);
  }
  std::string out(static_cast<size_t>(expected), '\0');
  const size_t size = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size)) return make_error(ErrorCode::corrupt, "zstd: {}", ZSTD_getErrorName(size));
  if (size != out.size())
    return make_error(ErrorCode::corrupt, "zstd: {} bytes instead of {}", size, expected);
  return out;
}

std::string content_hash(const StoredBinary& stored, std::string_view cubin, std::string_view ptx) {
  ContentHash hash;
  hash.add(std::string_view("rtjit binary 1"));
  for (const std::string* text : {&stored.key, &stored.target, &stored.compiler, &stored.label,
                                  &stored.kernels, &stored.features, &stored.log}) {
    hash.add(std::string_view(*text));
  }
  return hash.add(cubin).add(ptx).hex();
}

// Text that is not UTF-8 (a compiler may say anything) must not make the dump throw.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string kernels_json(const Binary& binary) {
  Json list = Json::array();
  for (const Binary::Kernel& kernel : binary.kernels) {
    const KernelResources& facts = kernel.resources;
    list.push_back({{"name_expression", kernel.name_expression},
                    {"symbol", kernel.symbol},
                    {"registers", facts.registers},
                    {"static_smem", facts.static_smem},
                    {"stack", facts.stack},
                    {"spill_stores", facts.spill_stores},
                    {"spill_loads", facts.spill_loads},
                    {"barriers", facts.barriers},
                    {"max_threads", facts.max_threads},
                    {"code_bytes", facts.code_bytes}});
  }
  return dump(list);
}

std::string features_json(const Binary& binary) {
  Json list = Json::array();
  for (const FeatureUse& use : binary.features) {
    list.push_back({{"feature", use.feature}, {"line", use.line}, {"instruction", use.instruction}});
  }
  return dump(list);
}

void read_kernels(const Json& list, Binary* binary) {
  for (const Json& item : list) {
    Binary::Kernel kernel;
    kernel.name_expression = item.at("name_expression").get<std::string>();
    kernel.symbol = item.at("symbol").get<std::string>();
    KernelResources& facts = kernel.resources;
    facts.symbol = kernel.symbol;
    facts.registers = item.at("registers").get<int>();
    facts.static_smem = item.at("static_smem").get<int>();
    facts.stack = item.at("stack").get<int>();
    facts.spill_stores = item.at("spill_stores").get<int>();
    facts.spill_loads = item.at("spill_loads").get<int>();
    facts.barriers = item.at("barriers").get<int>();
    facts.max_threads = item.at("max_threads").get<int>();
    facts.code_bytes = item.at("code_bytes").get<int64_t>();
    binary->kernels.push_back(std::move(kernel));
  }
}

void read_features(const Json& list, Binary* binary) {
  for (const Json& item : list) {
    binary->features.push_back({item.at("feature").get<std::string>(), item.at("line").get<int>(),
                                item.at("instruction").get<std::string>()});
  }
}

}  // namespace

Result<StoredBinary> encode_binary(const Binary& binary, const std::string& target,
                                   const std::string& label) {
  StoredBinary stored;
  stored.key = binary.key;
  stored.target = target;
  stored.compiler = binary.compiler;
  stored.label = label;
  stored.kernels = kernels_json(binary);
  stored.features = features_json(binary);
  stored.log = binary.log;
  stored.compile_ms = binary.compile_ms;
  stored.cubin_bytes = static_cast<int64_t>(binary.cubin.size());
  stored.ptx_bytes = static_cast<int64_t>(binary.ptx.size());
  Result<std::string> cubin = compress(binary.cubin);
  if (!cubin.ok()) return cubin.error();
  Result<std::string> ptx = compress(binary.ptx);
  if (!ptx.ok()) return ptx.error();
  stored.cubin = *std::move(cubin);
  stored.ptx = *std::move(ptx);
  stored.sha256 = content_hash(stored, binary.cubin, binary.ptx);
  return stored;
}

Result<Binary> decode_binary(const StoredBinary& stored) {
  Result<std::string> cubin = decompress(stored.cubin, stored.cubin_bytes);
  if (!cubin.ok()) return cubin.error();
  Result<std::string> ptx = decompress(stored.ptx, stored.ptx_bytes);
  if (!ptx.ok()) return ptx.error();
  if (content_hash(stored, *cubin, *ptx) != stored.sha256) {
    return make_error(ErrorCode::corrupt, "its content does not have the hash it was stored with");
  }
  Binary binary;
  binary.key = stored.key;
  binary.compiler = stored.compiler;
  binary.log = stored.log;
  binary.compile_ms = stored.compile_ms;
  binary.cubin = *std::move(cubin);
  binary.ptx = *std::move(ptx);
  try {
    read_kernels(Json::parse(stored.kernels), &binary);
    read_features(Json::parse(stored.features), &binary);
  } catch (const Json::exception& error) {
    return make_error(ErrorCode::corrupt, "its list of kernels or features: {}", error.what());
  }
  return binary;
}

}  // namespace rtjit
