// Runs the moe_mxfp4 kernels on the GPU present: every problem of moe_cases against the fp64 oracle, then
// times of both GEMMs at the sizes of gpt-oss. Needs nothing of the library; from the source root:
//   nvcc -std=c++20 -O2 -gencode=arch=compute_90a,code=sm_90a -split-compile=0 -I. -Itemplates
//        tools/gpu/moe_check.cu tools/gpu/moe_configs_*.cu tools/gpu/moe_cases.cc
//        tests/templates/moe_mxfp4/moe_oracle.cc base/float_formats.cc -o moe_check
// Not with -dc: then ptxas ignores setmaxnreg, and wgmma is slower than it is in the library.
//   ./moe_check                       everything
//   ./moe_check check [TEXT]          the problems only (whose name contains TEXT)
//   ./moe_check time [MODEL [TOKENS]] the times only (of one model, at these numbers of tokens: 1,64,1024);
//                                     also deepseek-v4-flash, and `resident`: 4 experts whose weights stay in
//                                     L2
// MXFP8=1 in the environment: with MXFP8 activations, by variant wgmma_fp8 alone (sm_90a).
// VARIANTS=/wgmma:/stream: in the environment leaves the configs of other variants out,
// CONFIG=TEXT those whose name does not contain TEXT.
// LINES=99: how many of the fastest configs of each GEMM are printed (4).
// ROUTES=0: slots are sorted by align even where there are so few that `stream` can do it itself.
#include <algorithm>
#include <cstring>
#include <memory>
#include <tuple>

#include "base/float_formats.h"
#include "tools/gpu/moe_cases.h"
#include "tools/gpu/moe_pipeline.cuh"

namespace rtjit::check {
namespace {

template <class To, class From>
std::unique_ptr<Buffer> upload_as(const std::vector<From>& values) {
  std::vector<To> converted(values.begin(), values.end());
  auto buffer = std::make_unique<Buffer>(converted.size() * sizeof(To));
  if (!converted.empty()) buffer->upload(converted);
  return buffer;
}

std::unique_ptr<Buffer> upload_floats(const std::vector<float>& values, bool as_bf16) {
  if (!as_bf16) return upload_as<float>(values);
  std::vector<uint16_t> bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), bf16_from_float);
  return upload_as<uint16_t>(bits);
}

Flavour flavour_of(const Case& c) {
  if (c.activation == oracle::MoeActivation::silu) return Flavour::silu_none;
  if (c.activation == oracle::MoeActivation::gelu_tanh) return Flavour::gelu_f32;
  return c.bias == BiasType::none ? Flavour::swiglu_none : Flavour::swiglu_bf16;
}

void pack(const Case& c, const oracle::MoeWeights& weights, const Packed& packed) {
  const int order1 = c.layout == oracle::MoeLayout::interleaved      ? kInterleaved
                     : c.layout == oracle::MoeLayout::halves_gate_up ? kHalvesGateUp
                                                                     : kHalvesUpGate;
  const int bias_bytes = c.bias == BiasType::none ? 0 : c.bias == BiasType::bf16 ? 2 : 4;
  auto one = [&](const std::vector<uint8_t>& w, const std::vector<uint8_t>& s, const std::vector<float>& b,
                 int rows, int k, int order, const Buffer& tiles, const Buffer& scales,
                 const Buffer& exponents, const Buffer& bias) {
    const auto codes = upload_as<uint8_t>(w), bytes = upload_as<uint8_t>(s);
    const auto biases = upload_floats(b, bias_bytes == 2);
    const i64 all_rows = i64(c.experts) * rows, all_tiles = all_rows / 16 * ((k + 63) / 64);
    start(nullptr, c.mxfp8 ? pack_e5m2_rows : pack_rows, int((all_rows + 7) / 8), 256, 0, codes->as<u8>(),
          bytes->as<u8>(), biases->as<void>(), bias_bytes, rows, k, order, all_rows, exponents.as<u8>(),
          bias.as<void>());
    start(nullptr, c.mxfp8 ? pack_e5m2_tiles : pack_tiles, int((all_tiles + 7) / 8), 256, 0, codes->as<u8>(),
          bytes->as<u8>(), exponents.as<u8>(), rows, k, order, all_tiles, tiles.as<u8>(), scales.as<u8>());
    MOE_CUDA(cudaDeviceSynchronize());
  };
  one(weights.w1, weights.s1, weights.b1, 2 * c.intermediate, c.hidden, order1, packed.tiles1, packed.scales1,
      packed.exponents1, packed.bias1);
  one(weights.w2, weights.s2, weights.b2, c.hidden, c.intermediate, kPlain, packed.tiles2, packed.scales2,
      packed.exponents2, packed.bias2);
}

std::unique_ptr<Buffer> upload_ids(const std::vector<int64_t>& ids, int bytes) {
  if (bytes == 2) return upload_as<int16_t>(ids);
  return bytes == 4 ? upload_as<int32_t>(ids) : upload_as<int64_t>(ids);
}

bool mxfp8_asked_for() { return std::getenv("MXFP8") != nullptr; }

// All configs that this device can run, of the variants asked for.
std::vector<Config> all_configs() {
  const char *variants = std::getenv("VARIANTS"), *text = std::getenv("CONFIG");
  std::vector<Config> configs;
  int limit = 0;
  MOE_CUDA(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  for (const auto& table : {mma_configs(), wgmma_configs(), stream_configs(), wgmma_fp8_configs()}) {
    for (const Config& c : table) {
      if (c.mxfp8 != mxfp8_asked_for()) continue;
      if (c.smem1 > limit || c.smem2 > limit) continue;
      if (variants != nullptr &&
          std::strstr(variants, ('/' + c.name.substr(0, c.name.find(':') + 1)).c_str()) == nullptr)
        continue;
      if (text != nullptr && c.name.find(text) == c.name.npos) continue;
      for (int f = 0; f < kFlavours; ++f) {
        if (!c.has(Flavour(f))) continue;
        const void* gemm1 = c.mxfp8 ? reinterpret_cast<const void*>(c.gemm1_fp8[f])
                            : c.routes() ? reinterpret_cast<const void*>(c.gemm1_routes[f])
                                         : reinterpret_cast<const void*>(c.gemm1[f]);
        const void* gemm2 = c.mxfp8          ? reinterpret_cast<const void*>(c.gemm2_fp8[f])
                            : c.gemm2_mma[f] ? reinterpret_cast<const void*>(c.gemm2_mma[f])
                            : c.routes()     ? reinterpret_cast<const void*>(c.gemm2_routes[f])
                                             : reinterpret_cast<const void*>(c.gemm2[f]);
        MOE_CUDA(cudaFuncSetAttribute(gemm1, cudaFuncAttributeMaxDynamicSharedMemorySize, c.smem1));
        MOE_CUDA(cudaFuncSetAttribute(gemm2, cudaFuncAttributeMaxDynamicSharedMemorySize, c.smem2));
      }
      configs.push_back(c);
    }
  }
  return configs;
}

// One problem: reference and tuned configs against the oracle, repeated for equal bits, guards looked at.
bool run_case(const Case& c, const std::vector<Config>& configs, size_t* turn) {
  const CaseData data = make_data(c);
  const std::vector<double> expected = oracle::moe_reference(data.problem, data.weights, data.inputs);
  Launch l;
  l.dims = {c.hidden, c.intermediate, c.experts, c.top_k};
  l.flavour = flavour_of(c);
  l.tokens = c.tokens;
  l.x_stride = data.inputs.x_stride;
  l.id_bytes = c.id_bytes, l.weight_bytes = c.weight_bytes;
  l.expert_offset = c.expert_offset;
  l.limited = c.limited ? 1 : 0;
  l.mxfp8 = c.mxfp8;
  const Packed packed(l.dims, c.bias == BiasType::none ? 0 : c.bias == BiasType::bf16 ? 2 : 4);
  pack(c, data.weights, packed);
  Workspace workspace(l.dims, c.tokens, c.mxfp8);
  l.packed = &packed;
  l.workspace = &workspace;
  const auto x = upload_as<uint16_t>(data.inputs.x), ids = upload_ids(data.inputs.ids, c.id_bytes);
  const auto weights = upload_floats(data.inputs.weights, c.weight_bytes == 2);
  const auto alphas = upload_as<float>(data.inputs.alpha_e), betas = upload_as<float>(data.inputs.beta_e);
  const auto limits = upload_as<float>(data.inputs.limit_e);
  const auto valid = upload_as<int32_t>(std::vector<int>{data.inputs.num_valid_tokens.value_or(0)});
  l.x = x->as<u16>(), l.ids = ids->as<void>(), l.weights = weights->as<void>();
  if (c.per_expert)
    l.alpha_e = alphas->as<float>(), l.beta_e = betas->as<float>(), l.limit_e = limits->as<float>();
  if (data.inputs.num_valid_tokens) l.valid_tokens = valid->as<i32>();
  Buffer out(size_t(c.tokens) * c.hidden * 2);
  l.out = out.as<u16>();

  struct Run {
    std::string name;
    const Config *config1, *config2;
    bool f64;
  };
  std::vector<Run> runs = {{"reference f64", nullptr, nullptr, true},
                           {"reference f32", nullptr, nullptr, false}};
  std::vector<const Config*> usable;
  for (const Config& config : configs) {
    if (config.has(l.flavour) && config.takes(c.hidden, c.intermediate)) usable.push_back(&config);
  }
  const size_t count = c.every_config ? usable.size() : std::min<size_t>(usable.size(), 6);
  for (size_t i = 0; i < count; ++i) {  // GEMM1 and GEMM2 with different tiles
    const Config *a = usable[*turn % usable.size()], *b = usable[(*turn * 7 + 3) % usable.size()];
    runs.push_back({a->name + " + " + b->name, a, b, false});
    ++*turn;
  }
  double worst_l2 = 0, worst_max = 0;
  std::string failure;
  for (const Run& run : runs) {
    std::vector<uint16_t> first, actual(size_t(c.tokens) * c.hidden);
    for (int repeat = 0; repeat < 2; ++repeat) {
      for (Buffer* buffer : workspace.all()) buffer->poison();
      out.poison();
      run_all(l, run.config1, run.config2, run.f64);
      MOE_CUDA(cudaDeviceSynchronize());
      MOE_CUDA(cudaMemcpy(actual.data(), out.as<u16>(), actual.size() * 2, cudaMemcpyDeviceToHost));
      if (repeat == 1 && actual != first) failure = run.name + ": other bits when run again";
      first = actual;
    }
    const oracle::MoeError error = oracle::compare(expected, actual, c.hidden);
    worst_l2 = std::max(worst_l2, error.rel_l2);
    worst_max = std::max(worst_max, error.max_per_rms);
    if (!error.within(6e-3, c.max_per_rms)) {
      char text[256];
      std::snprintf(text, sizeof text, ": relL2 %.2e, max/rms %.2e, %lld NaN or inf misplaced, %lld not zero",
                    error.rel_l2, error.max_per_rms, static_cast<long long>(error.misplaced),
                    static_cast<long long>(error.nonzero));
      failure = run.name + text;
    }
    if (!failure.empty()) break;
  }
  for (Buffer* buffer : workspace.all()) {
    if (!buffer->guards_intact()) failure = "wrote outside a workspace buffer";
  }
  for (const Buffer* buffer : packed.all()) {
    if (!buffer->guards_intact()) failure = "wrote outside the packed weights";
  }
  if (!out.guards_intact()) failure = "wrote outside out";
  std::printf("%-6s %-42s %3zu runs  relL2 %.2e  max/rms %.2e%s%s\n", failure.empty() ? "ok" : "FAILED",
              c.name.c_str(), runs.size(), worst_l2, worst_max, failure.empty() ? "" : "  ", failure.c_str());
  std::fflush(stdout);
  return failure.empty();
}

// A graph captured once and replayed after ids changed must give the bits of an eager launch.
bool run_replay(const Config& config) {
  Case c{.name = "graph replay with other ids", .tokens = 33};
  if (config.mxfp8) c.hidden = c.intermediate = config.min_k, c.mxfp8 = true;
  CaseData data = make_data(c);
  Launch l;
  l.dims = {c.hidden, c.intermediate, c.experts, c.top_k};
  l.tokens = c.tokens, l.x_stride = c.hidden, l.limited = 1, l.mxfp8 = c.mxfp8;
  const Packed packed(l.dims, 2);
  pack(c, data.weights, packed);
  Workspace workspace(l.dims, c.tokens, c.mxfp8);
  l.packed = &packed, l.workspace = &workspace;
  const auto x = upload_as<uint16_t>(data.inputs.x), weights = upload_as<float>(data.inputs.weights);
  auto ids = upload_ids(data.inputs.ids, 4);
  Buffer out(size_t(c.tokens) * c.hidden * 2);
  l.x = x->as<u16>(), l.ids = ids->as<void>(), l.weights = weights->as<void>(), l.out = out.as<u16>();
  MOE_CUDA(cudaStreamCreate(&l.stream));
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  MOE_CUDA(cudaStreamBeginCapture(l.stream, cudaStreamCaptureModeThreadLocal));
  run_all(l, &config, &config);
  MOE_CUDA(cudaStreamEndCapture(l.stream, &graph));
  MOE_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  bool equal = true;
  for (int shift = 0; shift < 3; ++shift) {
    std::vector<int32_t> changed;
    for (int64_t id : data.inputs.ids)
      changed.push_back(static_cast<int32_t>((id + shift) % (c.experts + shift)));
    ids->upload(changed);
    std::vector<uint16_t> replayed(out.bytes() / 2), eager(out.bytes() / 2);
    MOE_CUDA(cudaGraphLaunch(executable, l.stream));
    MOE_CUDA(cudaStreamSynchronize(l.stream));
    MOE_CUDA(cudaMemcpy(replayed.data(), out.as<u16>(), out.bytes(), cudaMemcpyDeviceToHost));
    out.poison();
    run_all(l, &config, &config);
    MOE_CUDA(cudaStreamSynchronize(l.stream));
    MOE_CUDA(cudaMemcpy(eager.data(), out.as<u16>(), out.bytes(), cudaMemcpyDeviceToHost));
    equal = equal && replayed == eager;
  }
  MOE_CUDA(cudaGraphExecDestroy(executable));
  MOE_CUDA(cudaGraphDestroy(graph));
  MOE_CUDA(cudaStreamDestroy(l.stream));
  std::printf("%-6s %s\n", equal ? "ok" : "FAILED", c.name.c_str());
  return equal;
}

__global__ void fill_bytes(u8* bytes, u64 count, u32 seed, u32 low, u32 span) {
  for (u64 i = blockIdx.x * u64(blockDim.x) + threadIdx.x; i < count; i += u64(gridDim.x) * blockDim.x) {
    u32 value = u32(i) * 2654435761u + seed + u32(i >> 32) * 40503u;
    value ^= value >> 15, value *= 2246822519u, value ^= value >> 13;
    bytes[i] = u8(low + value % span);
  }
}

void fill(const Buffer& buffer, u32 seed, u32 low, u32 span) {
  fill_bytes<<<1024, 256>>>(buffer.as<u8>(), buffer.bytes(), seed, low, span);
  MOE_CUDA(cudaGetLastError());
}

// Microseconds of one `work(i)`, from graphs of several that rotate over copies so that nothing stays in L2.
template <class Work>
double microseconds(cudaStream_t stream, int copies, const Work& work) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cudaEvent_t begin, end;
  MOE_CUDA(cudaEventCreate(&begin));
  MOE_CUDA(cudaEventCreate(&end));
  MOE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < copies; ++i) work(i);
  MOE_CUDA(cudaStreamEndCapture(stream, &graph));
  MOE_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  MOE_CUDA(cudaGraphLaunch(executable, stream));
  std::vector<float> samples;
  for (int sample = 0; sample < 5; ++sample) {
    MOE_CUDA(cudaEventRecord(begin, stream));
    MOE_CUDA(cudaGraphLaunch(executable, stream));
    MOE_CUDA(cudaEventRecord(end, stream));
    MOE_CUDA(cudaEventSynchronize(end));
    float ms = 0;
    MOE_CUDA(cudaEventElapsedTime(&ms, begin, end));
    samples.push_back(ms);
  }
  std::sort(samples.begin(), samples.end());
  MOE_CUDA(cudaGraphExecDestroy(executable));
  MOE_CUDA(cudaGraphDestroy(graph));
  MOE_CUDA(cudaEventDestroy(begin));
  MOE_CUDA(cudaEventDestroy(end));
  return samples[2] * 1e3 / copies;
}

// Every config of both GEMMs at several token counts; prints the best few and their memory and math rates.
// Weights come from memory, or with `resident` (and few experts) from L2: what the kernels could do if memory
// were faster.
void time_model(const char* name, const Dims& dims, const std::vector<Config>& configs,
                const std::string& only_tokens, bool resident = false) {
  constexpr int kTogether = 4, kTogetherFew = 12;  // few tokens take little time
  const bool mxfp8 = mxfp8_asked_for();
  const int kCopies = resident ? 1 : 4;
  const char* lines = std::getenv("LINES");
  const size_t shown = lines != nullptr ? size_t(std::atoi(lines)) : 4;
  std::vector<std::unique_ptr<Packed>> layers;
  for (int i = 0; i < kCopies; ++i) {
    layers.push_back(std::make_unique<Packed>(dims, 2));
    const Packed& p = *layers.back();
    for (const Buffer* codes : {&p.tiles1, &p.tiles2}) fill(*codes, u32(i), 0, 256);
    // Scale bytes, or distances from the row's scale.
    for (const Buffer* scales : {&p.scales1, &p.scales2})
      fill(*scales, u32(i), mxfp8 ? 0 : 244, mxfp8 ? 1 : 3);
    for (const Buffer* exponents : {&p.exponents1, &p.exponents2}) fill(*exponents, 0, mxfp8 ? 119 : 0, 1);
    for (const Buffer* zeros : {&p.bias1, &p.bias2}) fill(*zeros, 0, 0, 1);
  }
  for (int tokens : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192}) {
    if (!only_tokens.empty() &&
        (',' + only_tokens + ',').find(',' + std::to_string(tokens) + ',') == std::string::npos)
      continue;
    const Case c{
        .name = "times", .hidden = 32, .experts = dims.experts, .top_k = dims.top_k, .tokens = tokens};
    Case routing = c;
    routing.intermediate = 32;
    const CaseData data = make_data(routing);
    Launch l;
    l.dims = dims, l.tokens = tokens, l.x_stride = dims.hidden, l.limited = 1, l.mxfp8 = mxfp8;
    Workspace workspace(dims, tokens, mxfp8);
    const auto ids = upload_ids(data.inputs.ids, 4);
    const auto weights = upload_as<float>(data.inputs.weights);
    std::vector<uint16_t> values(size_t(tokens) * dims.hidden);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = bf16_from_float(float(int(i * 2654435761u >> 20) % 200 - 100) / 64);
    const auto x = upload_as<uint16_t>(values);
    Buffer out(size_t(tokens) * dims.hidden * 2);
    l.x = x->as<u16>(), l.ids = ids->as<void>(), l.weights = weights->as<void>(), l.out = out.as<u16>(),
    l.workspace = &workspace;
    MOE_CUDA(cudaStreamCreate(&l.stream));
    auto at = [&](int i) {
      Launch other = l;
      other.packed = layers[size_t(i) % kCopies].get();
      return other;
    };
    std::vector<char> hit(size_t(dims.experts));
    for (int64_t id : data.inputs.ids) hit[size_t(id)] = 1;
    const double active = double(std::count(hit.begin(), hit.end(), 1));
    const double slots = double(tokens) * dims.top_k;
    std::vector<const Config*> best[2];  // the fastest few, each stage alone
    const int launches = tokens <= 256 ? 16 : 4;
    for (int gemm = 0; gemm < 2; ++gemm) {
      std::vector<std::pair<double, const Config*>> times;
      for (const Config& config : configs) {
        // A tile far larger or smaller than the rows of an expert is never the best; skip the slowest of
        // these.
        const double rows = slots / active;
        if (!resident && rows >= 24 && config.block_m <= 16) continue;
        if (!resident && rows >= 64 && config.block_m <= 48) continue;
        if (rows <= 4 && config.block_m >= 64) continue;
        const int width = gemm == 0 ? dims.hidden : dims.intermediate;
        if (!config.takes(width, width)) continue;
        l.h_panels = h_panels_of(config);
        Launch first = at(0);
        run_align(first, config.block_m, config.block_m);
        if (gemm == 1 && times.empty()) run_gemm1(first, best[0].empty() ? &config : best[0].front());
        if (gemm == 1) run_align(first, config.block_m, config.block_m);
        times.emplace_back(
            microseconds(l.stream, launches,
                         [&](int i) { gemm == 0 ? run_gemm1(at(i), &config) : run_gemm2(at(i), &config); }),
            &config);
      }
      std::sort(times.begin(), times.end());
      for (size_t i = 0; i < std::min<size_t>(tokens <= 16 ? kTogetherFew : kTogether, times.size()); ++i)
        best[gemm].push_back(times[i].second);
      const double rows = gemm == 0 ? 2.0 * dims.intermediate : dims.hidden,
                   k = gemm == 0 ? dims.hidden : dims.intermediate;
      const double bytes = active * rows * k * 17 / 32, flops = slots * rows * k * 2;
      for (size_t i = 0; i < std::min<size_t>(resident ? 99 : shown, times.size()); ++i) {
        std::printf("%s T=%-5d gemm%d %8.1f us  %5.0f GB/s of weights  %5.0f TFLOP/s  %s\n", name, tokens,
                    gemm + 1, times[i].first, bytes / times[i].first * 1e-3, flops / times[i].first * 1e-6,
                    times[i].second->name.c_str());
      }
    }
    const double align = microseconds(l.stream, launches, [&](int i) { run_align(at(i), 16, 16); });
    const double combine = microseconds(l.stream, launches, [&](int i) { run_combine(at(i)); });
    // Stages overlap where their blocks fit on an SM together, so the best of each alone need not be the best
    // pair.
    std::vector<std::tuple<double, const Config*, const Config*>> pairs;
    for (const Config* first : best[0]) {
      for (const Config* second : best[1])
        pairs.emplace_back(microseconds(l.stream, launches, [&](int i) { run_all(at(i), first, second); }),
                           first, second);
    }
    std::sort(pairs.begin(), pairs.end());
    std::printf("%s T=%-5d align %.1f us, combine %.1f us, %.0f experts used\n", name, tokens, align, combine,
                active);
    for (size_t i = 0; i < std::min<size_t>(3, pairs.size()); ++i) {
      const auto& [time, first, second] = pairs[i];
      std::printf("%s T=%-5d whole operation %.1f us with %s and %s\n", name, tokens, time,
                  first->name.c_str(), second->name.c_str());
    }
    std::fflush(stdout);
    MOE_CUDA(cudaStreamDestroy(l.stream));
  }
}

}  // namespace
}  // namespace rtjit::check

int main(int argc, char** argv) {
  using namespace rtjit::check;
  const std::string mode = argc > 1 ? argv[1] : "", filter = argc > 2 ? argv[2] : "";
  const std::vector<Config> configs = all_configs();
  std::printf("%zu configs\n", configs.size());
  int passed = 0, failed = 0;
  if (mode != "time") {
    size_t turn = 0;
    for (const Case& c : mxfp8_asked_for() ? fp8_cases() : all_cases()) {
      if (c.name.find(filter) == std::string::npos) continue;
      ++(run_case(c, configs, &turn) ? passed : failed);
    }
    if (filter.empty()) ++(run_replay(configs[configs.size() / 2]) ? passed : failed);
    std::printf("%d passed, %d failed\n", passed, failed);
  }
  if (mode != "check" && failed == 0) {
    const std::string tokens = argc > 3 ? argv[3] : "";
    const std::string model = mode == "time" ? filter : "";
    if (model.empty() || model == "gpt-oss-20b")
      time_model("gpt-oss-20b", {2880, 2880, 32, 4}, configs, tokens);
    if (model.empty() || model == "gpt-oss-120b")
      time_model("gpt-oss-120b", {2880, 2880, 128, 4}, configs, tokens);
    if (model == "deepseek-v4-flash") time_model(model.c_str(), {4096, 2048, 256, 6}, configs, tokens);
    if (model == "resident") time_model("resident", {2880, 2880, 4, 4}, configs, tokens, true);
  }
  return failed == 0 ? 0 : 1;
}
