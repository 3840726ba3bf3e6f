// rtjit emulate as a user runs it. The PTX is that of docs/emulator.md's examples, compiled by nvcc with
// -lineinfo.
#include <gmock/gmock.h>

#include <cstring>

#include "base/npy.h"
#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

class EmulateCommand : public CommandTest {
 protected:
  static std::string data(const std::string& name) {
    return std::string(RTJIT_SOURCE_DIR) + "/tests/data/emulate/" + name;
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write_ptx(const std::string& name, const std::string& body,
                        const std::string& parameters = "") {
    const std::string text = ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k(" +
                             parameters + ")\n{\n" + body + "}\n";
    EXPECT_TRUE(write_whole_file(path(name), text).ok());
    return path(name);
  }
  template <class T>
  std::vector<T> read_npy(const std::string& name) {
    auto bytes = read_whole_file(path(name));
    EXPECT_TRUE(bytes.ok());
    if (!bytes.ok()) return {};
    auto array = parse_npy(*bytes, name);
    EXPECT_TRUE(array.ok()) << (array.ok() ? "" : array.error().message);
    if (!array.ok()) return {};
    std::vector<T> values(static_cast<size_t>(array->elements()));
    EXPECT_EQ(array->data.size(), values.size() * sizeof(T));
    std::memcpy(values.data(), array->data.data(), array->data.size());
    return values;
  }
  // vector_add on 1000 elements with one thing changed.
  ProcessOutcome add(const std::string& count, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"emulate",  data("vector_add.ptx"),
                                          "--kernel", "vector_add",
                                          "--grid",   "4",
                                          "--block",  "256",
                                          "--arg",    "buffer=f32,1000,seed=1,out=" + path("a.npy"),
                                          "--arg",    "buffer=f32,1000,value=0.5",
                                          "--arg",    "buffer=f32,10x100,out=" + path("c.npy"),
                                          "--arg",    count};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
};

TEST_F(EmulateCommand, RunsTheDocumentedVectorAddition) {
  const ProcessOutcome outcome = add("s32=1000", {"--json"});
  ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
  const auto result = nlohmann::json::parse(outcome.output);
  EXPECT_TRUE(result["ok"]);
  EXPECT_GT(result["lane_instructions"], 10000);
  EXPECT_EQ(result["outputs"][1]["shape"], nlohmann::json({10, 100}));
  const std::vector<float> a = read_npy<float>("a.npy"), c = read_npy<float>("c.npy");
  ASSERT_EQ(a.size(), 1000u);
  ASSERT_EQ(c.size(), 1000u);
  for (size_t i = 0; i < a.size(); i++) {
    EXPECT_TRUE(a[i] >= -1 && a[i] < 1);
    EXPECT_EQ(c[i], a[i] + 0.5f) << i;
  }
  EXPECT_NE(a[0], a[1]);
}

TEST_F(EmulateCommand, AFaultNamesTheCudaLineAndEndsWithOne) {
  const ProcessOutcome outcome = add("s32=1024");
  EXPECT_EQ(outcome.exit.code, 1);
  EXPECT_THAT(outcome.error_output, HasSubstr("kernel vector_add, PTX line"));
  EXPECT_THAT(outcome.error_output, HasSubstr("CUDA line 3"));
  EXPECT_THAT(outcome.error_output, HasSubstr("block (3,0,0), thread (232,0,0)"));
  EXPECT_THAT(outcome.error_output, HasSubstr("out-of-bounds"));
  const ProcessOutcome json = add("s32=1024", {"--json"});
  EXPECT_EQ(json.exit.code, 1);
  EXPECT_EQ(nlohmann::json::parse(json.output)["fault"]["code"], "device_fault");
}

TEST_F(EmulateCommand, RunsTheDocumentedInlinePtxOnAFile) {
  NpyArray in{"u4", {4}, {}};
  for (uint32_t value : {0u, 1u, 0x80u, 0xffffffffu})
    in.data.append(reinterpret_cast<const char*>(&value), 4);
  ASSERT_TRUE(write_whole_file(path("in.npy"), format_npy(in)).ok());
  ASSERT_TRUE(write_whole_file(path("in.raw"), in.data).ok());
  for (const std::string& source : {"buffer=file=" + path("in.npy"), "buffer=u32,file=" + path("in.raw")}) {
    const ProcessOutcome outcome =
        run({"emulate", data("inline_ptx.ptx"), "--kernel", "top_bit", "--block", "4", "--arg", source,
             "--arg", "buffer=s32,4,out=" + path("out.npy")});
    ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
    EXPECT_EQ(read_npy<int32_t>("out.npy"), (std::vector<int32_t>{-1, 0, 7, 31}));
  }
}

TEST_F(EmulateCommand, ListsKernelsWithTheirParameters) {
  const auto kernels = json({"emulate", data("vector_add.ptx")});
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(kernels[0]["kernel"], "vector_add");
  ASSERT_EQ(kernels[0]["parameters"].size(), 4u);
  EXPECT_EQ(kernels[0]["parameters"][3]["type"], "u32");
  const ProcessOutcome wrong = run({"emulate", data("vector_add.ptx"), "--kernel", "vector_sub"});
  EXPECT_EQ(wrong.exit.code, 2);
  EXPECT_THAT(wrong.error_output, HasSubstr("no kernel 'vector_sub'"));
  EXPECT_THAT(wrong.error_output, HasSubstr("vector_add: u64 vector_add_param_0"));
}

TEST_F(EmulateCommand, EachWrongArgumentIsSaid) {
  struct Case {
    std::string argument, message;
  };
  ASSERT_TRUE(write_whole_file(path("bad.npy"), "\x93NUMPYxx").ok());
  ASSERT_TRUE(write_whole_file(path("odd.raw"), "12345").ok());
  ASSERT_TRUE(write_whole_file(path("f4.npy"), format_npy({"f4", {1}, "1234"})).ok());
  const std::vector<Case> cases = {
      {"7", "there is no '='"},
      {"f33=1", "type 'f33' is unknown"},
      {"u32=x", "'x' is not an integer"},
      {"u32=-1", "-1 does not fit u32"},
      {"u8=256", "256 does not fit u8"},
      {"s32=2147483648", "does not fit s32"},
      {"f32=1", "argument 4 is f32, but the parameter of kernel 'vector_add' is u32 vector_add_param_3"},
      {"u64=1", "argument 4 is u64 with 8 B"},
      {"bytes=123", "even number of hexadecimal digits"},
      {"buffer=f32", "a buffer needs TYPE and SHAPE"},
      {"buffer=f32,4", "argument 4 is a buffer"},
      {"buffer=f32,0", "'0' is not a shape"},
      {"buffer=f32,99999999999x99999999999", "larger than"},
      {"buffer=f32,4,value=1,seed=1", "only one of"},
      {"buffer=f32,4,low=1", "need seed="},
      {"buffer=f32,4,seed=1,low=1", "go together"},
      {"buffer=f32,4,colour=1", "'colour' is unknown"},
      {"buffer=f32,file=" + path("none.npy"), "cannot read"},
      {"buffer=f32,file=" + path("bad.npy"), "not a .npy file"},
      {"buffer=f32,file=" + path("odd.raw"), "not a number of f32 elements"},
      {"buffer=file=" + path("odd.raw"), "name a TYPE"},
      {"buffer=f32,7,file=" + path("f4.npy"), "the shape asks for 28 B"},
      {"buffer=u32,file=" + path("f4.npy"), "holds 'f4', the argument is u32"},
  };
  for (const Case& one : cases) {
    const ProcessOutcome outcome = add(one.argument);
    EXPECT_EQ(outcome.exit.code, 2) << one.argument;
    EXPECT_THAT(outcome.error_output, HasSubstr(one.message)) << one.argument;
  }
  EXPECT_THAT(add("s32=1", {"--arg", "s32=1"}).error_output, HasSubstr("takes 4 arguments, 5 were given"));
  EXPECT_THAT(run({"emulate", data("vector_add.ptx"), "--kernel", "vector_add", "--grid", "0"}).error_output,
              HasSubstr("--grid 0: needed are one to three numbers"));
  EXPECT_EQ(run({"emulate", path("absent.ptx")}).exit.code, 2);
}

TEST_F(EmulateCommand, FilesThatAreNoPtxAreToldWhatTheyAre) {
  const std::string source = path("scale.cu");
  ASSERT_TRUE(write_whole_file(source, "__global__ void scale(float* x) { x[threadIdx.x] *= 2; }\n").ok());
  const ProcessOutcome cuda = run({"emulate", source, "--target", "sm_120a"});
  EXPECT_EQ(cuda.exit.code, 2);
  EXPECT_THAT(cuda.error_output, HasSubstr(source + " is CUDA source, allowed is PTX"));
  EXPECT_THAT(cuda.error_output, HasSubstr("nvcc -ptx -arch=sm_120a " + source + " -o " + path("scale.ptx")));
  ASSERT_TRUE(write_whole_file(path("k.cubin"),
                               "\x7f"
                               "ELF\2\1 .version 8.0")
                  .ok());
  const ProcessOutcome cubin = run({"emulate", path("k.cubin")});
  EXPECT_EQ(cubin.exit.code, 2);
  EXPECT_THAT(cubin.error_output, HasSubstr("is a binary (a cubin or an object file), allowed is PTX"));
  ASSERT_TRUE(write_whole_file(path("notes"), "hello\n").ok());
  EXPECT_THAT(run({"emulate", path("notes"), "--coverage"}).error_output,
              HasSubstr("notes is not PTX: allowed is PTX"));
}

TEST_F(EmulateCommand, SwitchesOfStrictnessWork) {
  const std::string reads =
      write_ptx("reads.ptx",
                "  .reg .b64 %a; .reg .b32 %v;\n  ld.param.u64 %a, [p];\n  ld.global.u32 %v, [%a];\n  ret;\n",
                ".param .u64 p");
  const std::vector<std::string> call = {"emulate", reads, "--kernel", "k", "--arg", "buffer=u32,1"};
  EXPECT_THAT(run(call).error_output, HasSubstr("uninitialised"));
  std::vector<std::string> lenient = call;
  lenient.push_back("--allow-uninitialised");
  EXPECT_EQ(run(lenient).exit.code, 0);

  const std::string races = write_ptx("races.ptx",
                                      "  .reg .b32 %v;\n  .shared .align 4 .b8 s[4];\n  mov.u32 %v, %tid.x;\n"
                                      "  st.shared.u32 [s], %v;\n  ret;\n");
  EXPECT_THAT(run({"emulate", races, "--kernel", "k", "--block", "64"}).error_output, HasSubstr("race"));
  EXPECT_EQ(run({"emulate", races, "--kernel", "k", "--block", "64", "--no-races"}).exit.code, 0);

  const std::string forever = write_ptx("forever.ptx", "$L:\n  bra $L;\n");
  const ProcessOutcome stopped = run({"emulate", forever, "--kernel", "k", "--steps", "10000"});
  EXPECT_EQ(stopped.exit.code, 1);
  EXPECT_THAT(stopped.error_output, HasSubstr("step-budget"));
}

TEST_F(EmulateCommand, CoverageNamesWhatIsMissing) {
  const auto complete = json({"emulate", "--coverage", data("vector_add.ptx")});
  EXPECT_TRUE(complete["complete"]);
  EXPECT_EQ(complete["kernels"], 1);
  int loads = 0;
  for (const auto& form : complete["forms"]) {
    EXPECT_FALSE(form["missing"]);
    if (form["form"] == "ld.param.u64") loads = form["count"];
  }
  EXPECT_EQ(loads, 3);

  const std::string unknown = write_ptx("unknown.ptx",
                                        "  .reg .b32 %v;\n  frobnicate.b32 %v, %v;\n"
                                        "  frobnicate.b32 %v, %v;\n  ret;\n");
  const ProcessOutcome table = run({"emulate", "--coverage", unknown});
  EXPECT_EQ(table.exit.code, 1);
  EXPECT_THAT(table.output, testing::ContainsRegex("frobnicate\\.b32 +2 +7 +MISSING"));
  const ProcessOutcome outcome = run({"emulate", "--coverage", unknown, "--json"});
  EXPECT_EQ(outcome.exit.code, 1);
  const auto report = nlohmann::json::parse(outcome.output);
  EXPECT_FALSE(report["complete"]);
  EXPECT_EQ(report["forms"][0]["form"], "frobnicate.b32");
}

}  // namespace
}  // namespace rtjit
