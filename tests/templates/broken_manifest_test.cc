// Every way in which a manifest can be wrong has a message with the file, the line and what is right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/templates/pipeline_manifest.h"
#include "tests/templates/test_templates.h"

namespace rtjit {
namespace {

using ::testing::HasSubstr;
using testing::kPipelineManifest;
using testing::pipeline_sources;
using testing::replaced;

struct Broken {
  const char* what;  // the name of the test
  const char* from;  // the first of these in the manifest ...
  const char* to;    // ... is replaced by this
  const char* message;
  const char* place = "";  // what stands on the line of the error, if that is not the line of `from`
};

class BrokenManifest : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenManifest, HasTheRightMessage) {
  const Broken& broken = GetParam();
  std::string text = replaced(kPipelineManifest, broken.from, broken.to);
  ASSERT_FALSE(text.empty()) << "'" << broken.from << "' is not in the manifest";
  auto parsed = parse_manifest(text, "pipeline.toml", pipeline_sources());
  ASSERT_FALSE(parsed.ok()) << "it was accepted";
  EXPECT_THAT(parsed.error().message, HasSubstr(broken.message));
  // The error is where the change is, or where the table begins that the change made incomplete.
  std::string place = *broken.place ? broken.place : broken.from;
  std::string before = text.substr(0, (*broken.place ? text : std::string(kPipelineManifest)).find(place));
  auto line = 1 + std::count(before.begin(), before.end(), '\n');
  auto within = std::count(place.begin(), place.end(), '\n');
  bool found = false;
  for (auto near = line; near <= line + within; ++near) {
    found = found || parsed.error().message.find(fmt::format("pipeline.toml:{}:", near)) != std::string::npos;
  }
  EXPECT_TRUE(found) << "expected line " << line << ": " << parsed.error().message;
}

// The folder of the sources follows from the name: without one they cannot be judged.
TEST(BrokenManifests, AMissingNameIsOneError) {
  auto parsed = parse_manifest(replaced(kPipelineManifest, "name = \"pipeline\"", ""), "pipeline.toml",
                               pipeline_sources());
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos) << parsed.error().message;
}

const Broken kSyntaxAndKeys[] = {
    {"Syntax", "name = \"pipeline\"", "name = pipeline", "column"},
    {"Date", "summary = \"sort rows, then multiply\"", "summary = 2026-01-01", "dates and times"},
    {"NoName", "name = \"pipeline\"", "", "'name' is missing", "\n"},
    {"BadName", "name = \"pipeline\"", "name = \"pipe line\"", "letters, digits and _ only"},
    {"UnknownTopKey", "summary =", "sumary =", "unknown key 'sumary'; did you mean 'summary'?"},
    {"UnknownSection", "[verify]", "[verifi]", "unknown key 'verifi'; did you mean 'verify'?"},
    {"UnknownProblemField", "multiple_of = 8\n[problem.layout]", "multipleof = 8\n[problem.layout]",
     "[problem.width]: unknown key 'multipleof'; did you mean 'multiple_of'?"},
    {"UnknownArgumentField", "align = 16", "alignment = 16",
     "[[argument]] x: unknown key 'alignment'; did you mean 'align'?"},
    {"UnknownVariantField", "registers = \"block_m + 10\"", "regs = \"block_m + 10\"",
     "[[stage.variant]] mma: unknown key 'regs'"},
    {"UnknownLaunchField", "pdl = true", "pld = true", "unknown key 'pld'; did you mean 'pdl'?"},
    {"UnknownCostField",
     "dram_bytes = ", "dram_byte = ", "unknown key 'dram_byte'; did you mean 'dram_bytes'?"},
    {"WrongKind", "pdl = true", "pdl = 1", "'pdl' must be true or false, not an integer"},
    {"FormulaIsNoList", "threads = 512", "threads = [512]", "'threads' must be a formula"},
    {"StageIsNoList", "[[stage]]\nname = \"sort\"", "[stage]\nname = \"sort\"", "column",
     "[[stage]]\nname = \"mul\""},
};

const Broken kProblemAndLaunch[] = {
    {"NoType", "type = \"integer\"\nmin = 8", "min = 8", "'type' is missing", "[problem.width]"},
    {"BadType", "type = \"real\"", "type = \"float\"", "it must be one of integer, real, choice"},
    {"MinAboveMax", "min = 8", "min = 8000", "min 8000 is above max 4096"},
    {"BadMultiple", "multiple_of = 8\n[problem.layout]", "multiple_of = 0\n[problem.layout]", "at least 1"},
    {"ChoiceWithoutValues", "values = [\"rows\", \"columns\"]\n", "", "a choice needs 'values'"},
    {"BadDefault", "default = \"rows\"", "default = \"row\"", "did you mean 'rows'?"},
    {"ValueTwice", "values = [\"none\", \"bf16\", \"f32\"]",
     "values = [\"none\", \"bf16\", \"f32\", \"none\"]", "listed twice"},
    {"ValueIsNoEnumerator", "\"columns\"]", "\"columns\", \"col-major\"]",
     "the name of an enumerator of ns::Layout"},
    {"ValueWithComma", "values = [\"none\"", "values = [\"a,b\", \"none\"", "a word without , = ' or blanks"},
    {"ReservedKey", "[problem.alpha]", "[problem.threads]", "the name is reserved"},
    {"ConstraintTypo", "layout != 'columns'", "layout != 'colums'",
     "'colums' is not a value of layout; did you mean 'columns'?"},
    {"ConstraintWithoutMessage", "message = \"columns need a width of 16\"", "", "'message' is missing",
     "[[problem_constraint]]"},
    {"ConstraintSeesNoScalar", "width >= 16", "tokens >= 16", "unknown name 'tokens'"},
    {"NoLaunch", "[launch]\nbucket = \"tokens\"\nbuckets = [1, 64, 1024]\n", "", "'bucket' is missing",
     "[launch"},
    {"BucketUnknown", "bucket = \"tokens\"", "bucket = \"rows\"", "there is no [launch.scalar.rows]"},
    {"BucketsUnordered", "buckets = [1, 64, 1024]", "buckets = [1, 64, 64]", "must be ascending"},
    {"ScalarIsAKey", "[launch.scalar.x_stride]", "[launch.scalar.width]", "the name is used before"},
    {"ScalarUnbound", "strides = [\"x_stride\", \"1\"]", "strides = [\"x_stride + 0\", \"1\"]",
     "nothing gives it a value", "[launch]"},
};

const Broken kArgumentsAndBuffers[] = {
    {"ArgumentTwice", "name = \"mask\"", "name = \"x\"", "argument 'x': the name is used before"},
    {"BadRole", "role = \"pack\"", "role = \"packing\"", "it must be one of launch, pack"},
    {"BadDType", "dtypes = [\"u8\"]", "dtypes = [\"uint8\"]", "there is no dtype 'uint8'; there are u8, i8"},
    {"NoDTypes", "dtypes = [\"u8\"]\noptional", "optional", "'dtypes' is missing",
     "[[argument]]\nname = \"mask\""},
    {"DTypeKeyUnknown", "dtype_key = \"bias\"", "dtype_key = \"width\"",
     "there is no such choice in [problem]"},
    {"DTypeNeverComes", "dtypes = [\"bf16\", \"f32\"]", "dtypes = [\"bf16\", \"f64\"]",
     "dtype f64 can never come"},
    {"ShapeTypo", "shape = [\"tokens\", \"width\"]\nstrides", "shape = [\"tokens\", \"widht\"]\nstrides",
     "did you mean 'width'?"},
    {"ShapeEmpty", "shape = [\"width\"]", "shape = []", "needs 1 to 4 dimensions"},
    {"PackShapeSeesNoScalar", "shape = [\"width\", \"width\"]", "shape = [\"tokens\", \"width\"]",
     "unknown name 'tokens'"},
    {"StridesTooFew", "strides = [\"x_stride\", \"1\"]", "strides = [\"x_stride\"]",
     "1 strides for 2 dimensions"},
    {"BadAlign", "align = 16", "align = 24", "a power of two"},
    {"RequiredWhenTypo", "required_when = \"bias != 'none'\"", "required_when = \"bias != 'no'\"",
     "'no' is not a value of bias"},
    {"BadFillKind", "kind = \"choice\"", "kind = \"choices\"",
     "it must be one of normal, bytes, range, choice"},
    {"FillNeedsCount", "count = \"width\", ", "", "choice needs 'count'"},
    {"FillOption", "first = 0", "frist = 0", "unknown key 'frist'; did you mean 'first'?"},
    {"BufferIsArgument", "name = \"sorted\"", "name = \"out\"", "buffer 'out': the name is used before"},
    {"BufferWithoutBytes", "bytes = \"width\"\n", "", "'bytes' is missing",
     "[[buffer]]\nname = \"packed_s\""},
    {"PackedBufferSeesNoTokens", "bytes = \"area + 1\"", "bytes = \"tokens\"", "unknown name 'tokens'"},
    {"BufferStageTypo", "align(tokens, mul.block_m)", "align(tokens, mull.block_m)",
     "did you mean 'mul.block_m'?"},
    {"BufferSeesNoStride", "bytes = \"tokens * width * 4\"", "bytes = \"tokens * x_stride * 4\"",
     "unknown name 'x_stride'"},
    {"VariantLacksParameter", "split = 1\n[[stage.variant.launch]]\nkernel = \"ns::reference\"",
     "[[stage.variant.launch]]\nkernel = \"ns::reference\"",
     "variant 'reference' of stage 'mul' has no 'split'; give it one under [stage.variant.provides]",
     "when = \"mul.split > 1\""},
};

const Broken kStagesAndPack[] = {
    {"PackSource", "source = \"pack.cuh\"", "source = \"packs.cuh\"",
     "not in the template's folder, which has mma.cuh, pack.cuh"},
    {"PackWithoutLayout", "layout = \"pipeline/1\"", "", "'layout' is missing", "[pack]"},
    {"PackSeesNoLaunchArgument", "args = [\"ptr w\"", "args = [\"ptr x\"", "no argument or buffer 'x' here"},
    {"LaunchSeesNoPackArgument", "args = [\"ptr x\", \"ptr sorted\"", "args = [\"ptr w\", \"ptr sorted\"",
     "no argument or buffer 'w' here"},
    {"StageIsArgument", "name = \"sort\"", "name = \"out\"", "stage 'out': the name is used before"},
    {"VariantTwice", "name = \"reference\"", "name = \"mma\"", "variant 'mma': the name is used before",
     "[[stage.variant]]\nname = \"mma\"\nsource = \"reference.cuh\""},
    {"BadTargets", "targets = \"sm_80+\"", "targets = \"hopper\"", "write for example \"sm_80+\""},
    {"KernelMissing", "kernel = \"ns::sort\"", "kernel = \"ns::sorted\"",
     "kernel 'ns::sorted' is neither in pipeline/sort.cuh"},
    {"GridMissing", "grid = [1]\n", "", "'grid' is missing", "[[stage.variant.launch]]"},
    {"GridOfFour", "grid = [1]\n", "grid = [1, 1, 1, 1]\n", "1 to 3 formulas"},
    {"ThreadsSeesNoThreads", "threads = \"warps * 32\"", "threads = \"threads\"", "unknown name 'threads'"},
    {"SmemSeesNoTokens", "smem = \"threads * 4 +", "smem = \"tokens +", "unknown name 'tokens'"},
    {"LiteralTypo", "store == 'bulk' ? 64", "store == 'bluk' ? 64",
     "'bluk' is not a value of store; did you mean 'bulk'?"},
    {"LiteralForANumber", "block_m >= warps * 8", "block_m == 'x'", "'block_m' is a number"},
    {"LiteralAlone", "block_m >= warps * 8", "block_m >= 'x'", "can only be compared with a choice"},
    {"ChoiceAsNumber", "block_m >= warps * 8", "store > 0",
     "'store' is a choice; compare it with a quoted value"},
    {"ParameterIsReal", "type = \"integer\"\nvalues = [2, 4]\ndefault = 4", "type = \"real\"\ndefault = 4",
     "it needs 'values'", "[stage.variant.parameter.warps]"},
    {"ParameterWithoutValues", "values = [16, 64]", "min = 16", "it needs 'values'",
     "[stage.variant.parameter.block_m]"},
    {"ParameterIsKey", "[stage.variant.parameter.split]", "[stage.variant.parameter.width]",
     "parameter 'width': the name is used before"},
    {"DefaultTypo", "config = \"block_m=64\"", "config = \"block_n=64\"", "did you mean 'block_m'?"},
    {"DefaultIncomplete", "config = \"block_m=16,warps=2\"", "config = \"warps=2\"", "no value for block_m"},
    {"DefaultNotForAll", "config = \"block_m=64\"", "config = \"block_m=64\"\nwhen = \"tokens > 1\"",
     "no default config for every case", "[[stage.variant.default]]"},
    {"LikeNothing", "source = \"reference.cuh\"", "like = \"mul.mna\"\nsource = \"reference.cuh\"",
     "like = 'mul.mna': it must name a variant before it as STAGE.VARIANT; there are mul.mma, sort.only",
     "like ="},
    {"LikeItself", "targets = \"sm_80+\"", "like = \"mul.mma\"\ntargets = \"sm_80+\"", "there are sort.only",
     "like ="},
    {"MoreOfNothing", "[stage.variant.provides]\nblock_m = \"1\"",
     "[stage.variant.more]\nfeature = [{ name = \"cp.async\" }]\n[stage.variant.provides]\nblock_m = \"1\"",
     "unknown key 'more'", "[stage.variant.more]"},
    {"TimedWithNothing", "tuned = true", "tuned = true\ntimed_with = [{ stage = \"sord\" }]",
     "'sord' is not another stage; there are sort", "timed_with ="},
    {"TimedWithItself", "tuned = true", "tuned = true\ntimed_with = [{ stage = \"mul\" }]",
     "'mul' is not another stage; there are sort", "timed_with ="},
    {"TimedThoughNotTuned", "name = \"sort\"\n", "name = \"sort\"\ntimed_with = [{ stage = \"mul\" }]\n",
     "only a stage with tuned = true is timed", "timed_with ="},
    {"TimedWithSeesNoTokens", "tuned = true",
     "tuned = true\ntimed_with = [{ stage = \"sort\", when = \"tokens > 1\" }]", "unknown name 'tokens'",
     "timed_with ="},
    {"DeterministicWhenSeesNoTokens", "max_rel_l2 = 6e-3",
     "max_rel_l2 = 6e-3\ndeterministic_when = \"tokens\"", "unknown name 'tokens'", "deterministic_when ="},
    {"LetUnused", "[let]", "[let]\nrows = \"width * 2\"", "[let]: no formula uses 'rows'", "rows ="},
    {"LetIsNoFormula", "area = \"width * width\"", "area = [1]", "'area' must be a formula"},
    {"LetTakesAKey", "[let]", "[let]\nalpha = \"width\"", "problem key 'alpha': the name is used before",
     "[problem.alpha]"},
    {"LetIsReserved", "[let]", "[let]\nthreads = \"width\"", "the name is reserved", "threads = \"width\""},
    {"LetOfTheStageTakesAParameter", "[stage.let]", "[stage.let]\nwarps = \"4\"",
     "parameter 'warps': the name is used before", "[stage.variant.parameter.warps]"},
    {"LetOfTheVariantTakesAParameter", "let = {", "let = { warps = \"4\",",
     "named formula 'warps': the name is used before"},
    {"LetShadowsTheStage", "let = {", "let = { row_tiles = \"4\",",
     "named formula 'row_tiles': the name is used before"},
    {"LetTypo", "tile_rows = \"block_m\"", "tile_rows = \"block_n\"",
     "did you mean 'block_m'?; it is what 'tile_rows' stands for in 'cdiv(tokens, tile_rows)'",
     "grid = [\"row_tiles\", \"split\"]"},
    {"LetCircle", "tile_rows = \"block_m\"", "tile_rows = \"row_tiles\"",
     "defined by itself: row_tiles -> tile_rows -> row_tiles", "grid = [\"row_tiles\", \"split\"]"},
    {"LetWrongChoice", "tile_rows = \"block_m\"", "tile_rows = \"store == 'bluk' ? 1 : block_m\"",
     "'bluk' is not a value of store; did you mean 'bulk'?", "grid = [\"row_tiles\", \"split\"]"},
    {"LetOutOfScope", "bytes = \"area + 1\"", "bytes = \"row_tiles + 1\"", "unknown name 'row_tiles'"},
    {"DefaultUnreachable", "when = \"tokens <= 1\"\n", "", "those after it are never reached",
     "[[stage.variant.default]]"},
    {"DefaultWhenOfTheLast", "source = \"reference.cuh\"",
     "source = \"reference.cuh\"\ndefault_when = \"tokens > 1\"",
     "the last variant of a stage takes what the others leave", "default_when"},
    {"DefaultWhenTypo", "targets = \"sm_80+\"", "targets = \"sm_80+\"\ndefault_when = \"token > 1\"",
     "did you mean 'tokens'?", "default_when"},
    {"OracleMissing", "oracle = true", "", "a tuned stage needs a variant with oracle = true",
     "[[stage]]\nname = \"mul\""},
    {"OracleNotLast", "targets = \"sm_80+\"", "oracle = true\noracle_config = \"block_m=16\"",
     "one variant, the last", "[[stage]]\nname = \"mul\""},
    {"OracleConfigElsewhere", "targets = \"sm_80+\"", "oracle_config = \"block_m=16\"",
     "belongs to a variant with oracle = true"},
    {"ChoiceWithoutCpp", "template_args = [\"width\", \"layout\"]", "template_args = [\"width\", \"bias\"]",
     "choice 'bias' has no 'cpp'"},
    {"RealTemplateArg", "template_args = [\"width\", \"layout\"]", "template_args = [\"width\", \"alpha\"]",
     "pass it as an argument: \"f32 alpha\""},
    {"TemplateArgOfALaunch", "template_args = [\"block_m\"]", "template_args = [\"tokens\"]",
     "unknown name 'tokens'"},
    {"ArgKind", "\"i32 tokens\"", "\"int tokens\"", "write \"ptr NAME\""},
    {"ArgWithoutValue", "\"i32 tokens\"", "\"i32\"", "write \"ptr NAME\""},
    {"ArgPointerTypo", "\"ptr sorted\"", "\"ptr sortd\"", "did you mean 'sorted'?"},
    {"ArgRealKey", "\"f32 alpha\"", "\"f32 width\"", "no problem key of type real"},
    {"ArgMap", "\"map x_map\"", "\"map y_map\"", "no [[stage.variant.tensor_map]] with that name"},
    {"MapBase", "base = \"x\"", "base = \"y\"", "no argument or buffer 'y' here"},
    {"MapRank", "box = [\"8\", \"block_m\"]", "box = [\"8\"]", "1 to 5 dims", "[[stage.variant.tensor_map]]"},
    {"MapSwizzle", "swizzle = \"128\"", "swizzle = \"256\"", "it must be one of none, 32, 64, 128"},
    {"NoVerify", "[verify]\noutputs = [\"out\"]\nmax_rel_l2 = 6e-3\nmax_err_per_rms = 5e-2\n", "",
     "'outputs' is missing", "[verify"},
    {"CaseWithoutWhen", "[verify.small]", "[[verify.case]]\nmax_rel_l2 = 1e-2\n[verify.small]",
     "'when' is missing", "[[verify.case]]"},
    {"CaseOfATypo", "[verify.small]", "[[verify.case]]\nwhen = \"widht > 1\"\n[verify.small]",
     "unknown name 'widht'", "when = \"widht"},
    {"CaseOfAnUnknownTargetFact", "[verify.small]",
     "[[verify.case]]\nwhen = \"target.ccc == 90\"\n[verify.small]", "did you mean 'target.cc'?",
     "when = \"target"},
    {"CaseBelowZero", "[verify.small]",
     "[[verify.case]]\nwhen = \"width > 1\"\nmax_rel_l2 = -1.0\n[verify.small]", "cannot be negative",
     "max_rel_l2 = -1.0"},
    {"OutputIsRead", "outputs = [\"out\"]", "outputs = [\"x\"]",
     "'x' is not an argument with access = \"write\""},
    {"SmallKeyUnknown", "width = \"min(width, 64)\"", "widht = \"min(width, 64)\"", "did you mean 'width'?"},
};

std::string test_name(const ::testing::TestParamInfo<Broken>& info) { return info.param.what; }
INSTANTIATE_TEST_SUITE_P(Keys, BrokenManifest, ::testing::ValuesIn(kSyntaxAndKeys), test_name);
INSTANTIATE_TEST_SUITE_P(Problem, BrokenManifest, ::testing::ValuesIn(kProblemAndLaunch), test_name);
INSTANTIATE_TEST_SUITE_P(Arguments, BrokenManifest, ::testing::ValuesIn(kArgumentsAndBuffers), test_name);
INSTANTIATE_TEST_SUITE_P(Stages, BrokenManifest, ::testing::ValuesIn(kStagesAndPack), test_name);

TEST(BrokenManifests, AllThatIsWrongIsReportedAtOnce) {
  std::string text =
      replaced(replaced(kPipelineManifest, "align = 16", "align = 24"), "pdl = true", "pdl = 1");
  std::string message = parse_manifest(text, "p.toml", pipeline_sources()).error().message;
  EXPECT_THAT(message, HasSubstr("power of two"));
  EXPECT_THAT(message, HasSubstr("'pdl' must be"));
}

TEST(BrokenManifests, MissingIncludesNameTheirPlace) {
  auto sources = pipeline_sources();
  sources.erase("device/common.cuh");
  EXPECT_THAT(parse_manifest(kPipelineManifest, "p.toml", sources).error().message,
              HasSubstr("p.toml: pipeline/sort.cuh:1: there is no source 'device/common.cuh'"));
}

// Seen by the fuzzer: what toml++ makes of such a character is undefined.
TEST(BrokenManifests, CharactersBeyondAsciiAreForTextsAndComments) {
  const std::string good = replaced(kPipelineManifest, "summary = \"sort rows, then multiply\"",
                                    "summary = \"\"\"s\u00f6rt \\\"r\u00f6ws\" \"\"\"\" # \u00e4, \"");
  EXPECT_TRUE(parse_manifest(good, "p.toml", pipeline_sources()).ok())
      << parse_manifest(good, "p.toml", pipeline_sources()).error().message;
  for (const char* place : {"# a comment\n\u03b1", "x =\u00a0", "s = '\u00e4'\u00b5", "s = \"\\\"\"\u00b5"}) {
    const std::string message = parse_manifest(place, "p.toml", {}).error().message;
    EXPECT_THAT(message, HasSubstr(*place == '#' ? "p.toml:2: column 1:" : "p.toml:1: column ")) << place;
    EXPECT_THAT(message, HasSubstr("beyond ASCII")) << place;
  }
  // Behind a backslash toml++ looks for white space, also on the lines after it.
  for (const char* text : {"s = \"\"\"a\\\u02da\"\"\"", "s = \"\"\"a\\ \n  \u00e4\"\"\""}) {
    EXPECT_THAT(parse_manifest(text, "p.toml", {}).error().message, HasSubstr("except behind a backslash"))
        << text;
  }
  EXPECT_THAT(parse_manifest("s = \"\"\"a\\\n b\u00e4\"\"\"", "p.toml", {}).error().message,
              ::testing::Not(HasSubstr("beyond ASCII")));
}

// Likewise: a value that begins with a digit goes on through quotes.
TEST(BrokenManifests, AQuoteInTheMiddleOfAWordIsRefused) {
  for (const char* text :
       {"bucket = 0\"r\ufeef\"", "bucket = 1.'\ufeef'", "a.\"b\" = 1", "day = 2020-01-01 0\"\ufeef\""}) {
    EXPECT_THAT(parse_manifest(text, "p.toml", {}).error().message,
                HasSubstr("a quote in the middle of a word"))
        << text;
  }
}

TEST(BrokenManifests, EmptyText) {
  EXPECT_THAT(parse_manifest("", "p.toml", {}).error().message, HasSubstr("p.toml:"));
}

// Found by the fuzzer: whoever names such a choice has no value to suggest.
TEST(BrokenManifestFormula, AChoiceWithoutValuesThatIsNamedWithoutAny) {
  std::string text = replaced(kPipelineManifest, R"(values = ["none", "bf16", "f32"])", "valuds = []");
  text = replaced(text, R"(required_when = "bias != 'none'")", R"(required_when = "bias != width")");
  ASSERT_FALSE(text.empty());
  auto parsed = parse_manifest(text, "pipeline.toml", pipeline_sources());
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().message, HasSubstr("valuds"));
}

}  // namespace
}  // namespace rtjit
