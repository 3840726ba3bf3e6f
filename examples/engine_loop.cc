// How an inference engine uses librtjit: load, pack, warm up, capture one CUDA graph per batch size, replay.
//
//   c++ -std=c++17 engine_loop.cc $(pkg-config --cflags --libs rtjit) -ldl -o engine_loop
//   ./engine_loop "preset=gpt-oss-20b"   # random weights; on any GPU that the template supports
//   ./engine_loop "hidden=256,intermediate=256,experts=8,top_k=2" 16 --json
//
// An engine has CUDA anyway. This program opens the driver by itself, so that it builds without a toolkit.
#include <dlfcn.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <rtjit.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// ---- The few driver functions that an engine needs, under the names of their exact versions

class Cuda {
 public:
  Cuda() {
    library_ = dlopen("libcuda.so.1", RTLD_NOW);
    if (library_ == nullptr) throw std::runtime_error(dlerror());
    bind("cuInit", init);
    bind("cuDevicePrimaryCtxRetain", retain);
    bind("cuCtxSetCurrent", set_current);
    bind("cuStreamCreate", stream_create);
    bind("cuStreamDestroy_v2", stream_destroy);
    bind("cuStreamSynchronize", stream_synchronize);
    bind("cuStreamBeginCapture_v2", begin_capture);
    bind("cuStreamEndCapture", end_capture);
    bind("cuGraphInstantiateWithFlags", instantiate);
    bind("cuGraphLaunch", graph_launch);
    bind("cuGraphDestroy", graph_destroy);
    bind("cuGraphExecDestroy", exec_destroy);
    bind("cuGetErrorString", error_string);
    check(init(0), "cuInit");
    check(retain(&context_, 0), "cuDevicePrimaryCtxRetain");  // librtjit works in the primary context too
    check(set_current(context_), "cuCtxSetCurrent");
  }
  void check(int code, const char* doing) const {
    if (code == 0) return;
    const char* words = nullptr;
    error_string(code, &words);
    throw std::runtime_error(std::string(doing) + ": " + (words == nullptr ? "unknown error" : words));
  }

  int (*init)(unsigned) = nullptr;
  int (*retain)(void**, int) = nullptr;
  int (*set_current)(void*) = nullptr;
  int (*stream_create)(void**, unsigned) = nullptr;
  int (*stream_destroy)(void*) = nullptr;
  int (*stream_synchronize)(void*) = nullptr;
  int (*begin_capture)(void*, int) = nullptr;
  int (*end_capture)(void*, void**) = nullptr;
  int (*instantiate)(void**, void*, unsigned long long) = nullptr;
  int (*graph_launch)(void*, void*) = nullptr;
  int (*graph_destroy)(void*) = nullptr;
  int (*exec_destroy)(void*) = nullptr;
  int (*error_string)(int, const char**) = nullptr;

 private:
  template <typename Function>
  void bind(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (function == nullptr) throw std::runtime_error(std::string("libcuda.so.1 has no ") + name);
  }
  void* library_ = nullptr;
  void* context_ = nullptr;
};

// ---- Device memory

class Buffer {
 public:
  Buffer(const rtjit::Library& library, size_t bytes) : library_(library.get()), bytes_(bytes) {
    rtjit::check(rtjit_memory_allocate(library_, bytes, &data_));
  }
  Buffer(Buffer&& other) noexcept : library_(other.library_), data_(other.data_), bytes_(other.bytes_) {
    other.data_ = nullptr;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { rtjit_memory_free(library_, data_); }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void write(const void* host, size_t bytes) const {
    rtjit::check(rtjit_memory_write(library_, data_, host, bytes));
  }
  std::vector<uint16_t> read() const {
    std::vector<uint16_t> host(bytes_ / 2);
    rtjit::check(rtjit_memory_read(library_, host.data(), data_, host.size() * 2));
    return host;
  }

 private:
  rtjit_library* library_;
  void* data_ = nullptr;
  size_t bytes_;
};

// ---- The model: one layer of experts, with random weights

struct Sizes {
  int64_t hidden = 2880, intermediate = 2880, experts = 32, top_k = 4;
};

// The problem as the program needs it. The library checks it; here only the sizes are read.
Sizes sizes_of(const std::string& problem) {
  Sizes sizes;
  if (problem.find("preset=gpt-oss-120b") != std::string::npos) sizes.experts = 128;
  const std::map<std::string, int64_t*> keys = {{"hidden", &sizes.hidden},
                                                {"intermediate", &sizes.intermediate},
                                                {"experts", &sizes.experts},
                                                {"top_k", &sizes.top_k}};
  std::istringstream parts(problem);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t equals = part.find('=');
    auto key = keys.find(part.substr(0, equals));
    if (equals != std::string::npos && key != keys.end()) *key->second = std::stoll(part.substr(equals + 1));
  }
  return sizes;
}

uint16_t bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

class Layer {
 public:
  Layer(const Cuda& cuda, const rtjit::Library& library, const rtjit::Kernel& kernel, const Sizes& sizes,
        void* stream)
      : packed_(library, kernel.packed_size()), weights_(pack(cuda, library, kernel, sizes, stream)) {}
  const rtjit::Weights& weights() const { return weights_; }

 private:
  rtjit::Weights pack(const Cuda& cuda, const rtjit::Library& library, const rtjit::Kernel& kernel,
                      const Sizes& s, void* stream) {
    std::mt19937_64 random(1);
    auto bytes = [&](int64_t count, unsigned low, unsigned high) {
      std::vector<uint8_t> host(static_cast<size_t>(count));
      for (uint8_t& byte : host) byte = static_cast<uint8_t>(low + random() % (high - low + 1));
      Buffer buffer(library, host.size());
      buffer.write(host.data(), host.size());
      return buffer;
    };
    // As a checkpoint has them: two E2M1 codes per byte, one E8M0 scale per 32 of them, biases in bfloat16.
    const int64_t e = s.experts, h = s.hidden, i = s.intermediate;
    Buffer w1 = bytes(e * 2 * i * h / 2, 0, 255), s1 = bytes(e * 2 * i * h / 32, 117, 120);
    Buffer w2 = bytes(e * h * i / 2, 0, 255), s2 = bytes(e * h * i / 32, 117, 120);
    std::vector<rtjit_tensor> tensors = {
        rtjit::tensor("w1", w1.data(), RTJIT_U8, {e, 2 * i, h / 2}),
        rtjit::tensor("s1", s1.data(), RTJIT_U8, {e, 2 * i, h / 32}),
        rtjit::tensor("w2", w2.data(), RTJIT_U8, {e, h, i / 2}),
        rtjit::tensor("s2", s2.data(), RTJIT_U8, {e, h, i / 32}),
    };
    Buffer b1 = bytes(e * 2 * i * 2, 0, 15), b2 = bytes(e * h * 2, 0, 15);  // as bfloat16: next to nothing
    if (has_bias(kernel)) {
      tensors.push_back(rtjit::tensor("b1", b1.data(), RTJIT_BF16, {e, 2 * i}));
      tensors.push_back(rtjit::tensor("b2", b2.data(), RTJIT_BF16, {e, h}));
    }
    rtjit_weights* weights = nullptr;
    rtjit::check(rtjit_kernel_pack_weights(kernel.get(), tensors.data(), tensors.size(), packed_.data(),
                                           packed_.bytes(), stream, &weights));
    rtjit::Weights result = kernel.adopt_weights(kernel.layout(), packed_.data(), packed_.bytes());
    rtjit_weights_free(weights);
    cuda.check(cuda.stream_synchronize(stream), "packing");  // the checkpoint's tensors go when this returns
    return result;
  }
  static bool has_bias(const rtjit::Kernel& kernel) {
    rtjit_argument_info info{};
    info.struct_size = sizeof info;
    for (size_t index = 0; rtjit_kernel_argument(kernel.get(), index, &info) == RTJIT_OK; ++index) {
      if (std::strcmp(info.name, "b1") == 0) return info.optional == 0;
    }
    return false;
  }

  Buffer packed_;
  rtjit::Weights weights_;
};

// ---- The engine

// The buffers of a step. Their addresses never change, which is what lets a captured graph serve every step.
struct Step {
  Step(const rtjit::Library& library, const rtjit::Kernel& kernel, const Sizes& s, int64_t most)
      : sizes(s),
        x(library, static_cast<size_t>(most * s.hidden * 2)),
        ids(library, static_cast<size_t>(most * s.top_k * 4)),
        routing(library, static_cast<size_t>(most * s.top_k * 4)),
        out(library, static_cast<size_t>(most * s.hidden * 2)),
        workspace(library, kernel.workspace_size(most)) {}

  // A batch that has no graph of its own goes into the next larger one: tokens from `batch` on have no
  // experts.
  void fill(int64_t batch, int64_t tokens, unsigned seed) const {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> rows(static_cast<size_t>(tokens * sizes.hidden));
    for (uint16_t& value : rows) value = bf16(normal(random));
    std::vector<int32_t> experts(static_cast<size_t>(tokens * sizes.top_k));
    std::vector<float> shares(experts.size(), 1.0f / static_cast<float>(sizes.top_k));
    for (size_t t = 0; t < static_cast<size_t>(tokens); ++t) {
      const uint64_t first = random();
      for (size_t k = 0; k < static_cast<size_t>(sizes.top_k); ++k) {
        const auto expert = static_cast<int32_t>((first + k) % static_cast<uint64_t>(sizes.experts));
        experts[t * static_cast<size_t>(sizes.top_k) + k] = static_cast<int64_t>(t) < batch ? expert : -1;
      }
    }
    x.write(rows.data(), rows.size() * 2);
    ids.write(experts.data(), experts.size() * 4);
    routing.write(shares.data(), shares.size() * 4);
  }

  void launch(const rtjit::Kernel& kernel, const Layer& layer, int64_t tokens, void* stream) const {
    kernel.launch(stream,
                  {rtjit::tensor("x", x.data(), RTJIT_BF16, {tokens, sizes.hidden}),
                   rtjit::tensor("ids", ids.data(), RTJIT_I32, {tokens, sizes.top_k}),
                   rtjit::tensor("weights", routing.data(), RTJIT_F32, {tokens, sizes.top_k}),
                   rtjit::tensor("out", out.data(), RTJIT_BF16, {tokens, sizes.hidden})},
                  &layer.weights(), workspace.data(), workspace.bytes());
  }

  Sizes sizes;
  Buffer x, ids, routing, out, workspace;
};

double microseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

int run(const std::string& problem, int64_t most, bool json) {
  const Cuda cuda;
  const auto start = std::chrono::steady_clock::now();

  // 1. Load: everything that batches of up to `most` tokens need is compiled, or comes from the cache.
  const rtjit::Library library;
  rtjit::OpenOptions options;
  options.max_bucket = most;
  const rtjit::Kernel kernel = library.open("moe_mxfp4", problem, options);
  const double open_us = microseconds_since(start);
  const Sizes sizes = sizes_of(problem);
  void* stream = nullptr;
  cuda.check(cuda.stream_create(&stream, 1), "cuStreamCreate");

  // 2. Pack the weights, once per layer. 3. Warm up, eagerly.
  const Layer layer(cuda, library, kernel, sizes, stream);
  const Step step(library, kernel, sizes, most);
  step.fill(most, most, 1);
  step.launch(kernel, layer, most, stream);
  cuda.check(cuda.stream_synchronize(stream), "warming up");

  // 4. Capture a graph for each batch size that is worth one. A launch that is captured does what it does
  // eagerly: nothing but launch.
  constexpr int kThreadLocal = 1;
  std::map<int64_t, void*> graphs;
  for (int64_t tokens = 1; tokens <= most; tokens *= 2) {
    cuda.check(cuda.begin_capture(stream, kThreadLocal), "cuStreamBeginCapture");
    step.launch(kernel, layer, tokens, stream);
    void* graph = nullptr;
    cuda.check(cuda.end_capture(stream, &graph), "cuStreamEndCapture");
    cuda.check(cuda.instantiate(&graphs[tokens], graph, 0), "cuGraphInstantiate");
    cuda.check(cuda.graph_destroy(graph), "cuGraphDestroy");
  }

  // 5. The loop: other tokens, ids and weights in the same buffers; a graph's launch replaces the library's.
  if (json) std::printf("{\"open_ms\": %.1f, \"steps\": [", open_us / 1000);
  bool agree = true;
  for (const auto& [tokens, graph] : graphs) {
    step.fill(tokens - tokens / 4, tokens, 2);
    step.launch(kernel, layer, tokens, stream);
    cuda.check(cuda.stream_synchronize(stream), "an eager step");
    const std::vector<uint16_t> eager = step.out.read();

    constexpr int kSteps = 100;
    const std::vector<uint16_t> poison(static_cast<size_t>(tokens * sizes.hidden), 0x7fc0);
    step.out.write(poison.data(), poison.size() * 2);
    cuda.check(cuda.graph_launch(graph, stream), "cuGraphLaunch");
    cuda.check(cuda.stream_synchronize(stream), "a replayed step");
    const bool equal = step.out.read() == eager;
    step.fill(tokens, tokens, 3);
    const auto first = std::chrono::steady_clock::now();
    for (int i = 0; i < kSteps; ++i) cuda.check(cuda.graph_launch(graph, stream), "cuGraphLaunch");
    cuda.check(cuda.stream_synchronize(stream), "replayed steps");
    const double step_us = microseconds_since(first) / kSteps;
    agree = agree && equal;
    if (json) {
      std::printf("%s{\"tokens\": %lld, \"step_us\": %.2f, \"replay_equals_eager\": %s}",
                  tokens == 1 ? "" : ", ", static_cast<long long>(tokens), step_us, equal ? "true" : "false");
    } else {
      std::printf("%4lld tokens  %8.2f us a step  replay %s eager  %s\n", static_cast<long long>(tokens),
                  step_us, equal ? "equals" : "DIFFERS FROM", kernel.provenance(tokens).c_str());
    }
    cuda.check(cuda.exec_destroy(graph), "cuGraphExecDestroy");
  }
  cuda.check(cuda.stream_destroy(stream), "cuStreamDestroy");
  if (json) std::printf("]}\n");
  if (!json) std::printf("opened in %.1f ms\n", open_us / 1000);
  return agree ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  const bool json = count > 1 && std::strcmp(arguments[count - 1], "--json") == 0;
  const int given = count - (json ? 1 : 0);
  const std::string problem = given > 1 ? arguments[1] : "preset=gpt-oss-20b";
  const int64_t most = given > 2 ? std::atoll(arguments[2]) : 256;
  if (given > 3 || most < 1) {
    std::fprintf(stderr, "usage: engine_loop [PROBLEM [MOST_TOKENS]] [--json]\n");
    return 2;
  }
  try {
    return run(problem, most, json);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "engine_loop: %s\n", error.what());
    return 1;
  }
}
