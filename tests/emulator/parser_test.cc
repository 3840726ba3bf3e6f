#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/emulator.h"
#include "emulator/ptx_parser.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

const char kHeader[] = ".version 9.0\n.target sm_90a\n.address_size 64\n";

TEST(Parser, ReadsDeclarations) {
  auto module = ptx::parse(std::string(kHeader) + R"(
// a comment /* inside */
.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b) ;
.const .align 4 .b8 table[8] = {1, 2, 3, 0xff};
.global .align 8 .u64 pointers[2] = {generic(table), table+4};
.extern .shared .align 128 .b8 dynamic[];
.visible .entry k(
	.param .u64 .ptr .global .align 16 k_param_0,
	.param .align 64 .b8 k_param_1[128]
)
.maxntid 128, 2, 1
.minnctapersm 2
{
	.reg .pred %p<3>;
	.reg .b32 %r<5>, %x;
	.loc 1 17 3
$L__BB0_1:
	@!%p1 ld.global.nc.L1::no_allocate.v4.u32 {%r1, %r2, %r3, _}, [%r4+-16];
	.pragma "nounroll";
	{ .reg .b32 %r1; L: add.s32 %r1, %x, -0x10; bra L; }
	bra.uni $L__BB0_1;
}
)");
  ASSERT_TRUE(module.ok()) << module.error().message;
  ASSERT_EQ(module->functions.size(), 2u);
  const ptx::Function* k = module->find("k");
  ASSERT_NE(k, nullptr);
  EXPECT_TRUE(k->is_entry);
  EXPECT_EQ(k->max_threads, 256);
  ASSERT_EQ(k->parameters.size(), 2u);
  EXPECT_EQ(k->parameters[0].bytes, 8);
  EXPECT_EQ(k->parameters[1].bytes, 128);
  EXPECT_EQ(k->parameters[1].align, 64);
  ASSERT_EQ(k->body.size(), 4u);
  const ptx::Instruction& load = k->body[0];
  EXPECT_EQ(load.opcode(), "ld.global.nc.L1::no_allocate.v4.u32");
  EXPECT_TRUE(load.guard_negated);
  EXPECT_EQ(load.line, 21);
  EXPECT_EQ(load.source_line, 17);
  EXPECT_EQ(load.operands[0].elements.size(), 4u);
  EXPECT_EQ(load.operands[1].value, -16);
  // The inner %r1 is another register, and the inner label another label.
  EXPECT_NE(k->body[1].operands[0].id, load.operands[0].elements[0].id);
  EXPECT_EQ(k->labels[static_cast<size_t>(k->body[2].operands[0].id)].name, "L");
  EXPECT_EQ(k->labels[static_cast<size_t>(k->body[3].operands[0].id)].name, "$L__BB0_1");
  ASSERT_EQ(module->variables.size(), 3u);
  EXPECT_EQ(module->variables[0].init, std::string("\1\2\3\xff", 4));
  EXPECT_EQ(module->variables[1].address_inits.size(), 2u);
  EXPECT_EQ(module->variables[2].bytes, 0);
}

TEST(Parser, Errors) {
  auto error = [](const std::string& body) {
    auto module = ptx::parse(std::string(kHeader) + ".visible .entry k() {\n" + body + "\n}");
    return module.ok() ? std::string() : module.error().message;
  };
  EXPECT_THAT(error("bra nowhere;"), HasSubstr("PTX line 5: label 'nowhere' is not defined (in k)"));
  EXPECT_THAT(error(".reg .q32 %r;"), HasSubstr("'.q32'"));
  EXPECT_THAT(error("@%p bra x;"), HasSubstr("predicate '%p' is not declared"));
  EXPECT_THAT(error("mov.u32 5"), HasSubstr("',' or ';'"));
  EXPECT_FALSE(ptx::parse("hello").ok());
  EXPECT_FALSE(ptx::parse("").ok());
}

TEST(Parser, UnknownInstructionsAreNamed) {
  Emulator emulator("sm_90a");
  emulator.load(std::string(kHeader) +
                ".visible .entry k() {\n.reg .b32 %r<3>;\nadd.s32 %r1, %r1, %r1;\nfrobnicate.u32 %r1, "
                "%r2;\nadd.wrong.s32 %r1, %r1, %r1;\nret;\n}");
  Status status = emulator.run("k", 1, 1, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unsupported);
  EXPECT_THAT(status.error().message, HasSubstr("kernel k, PTX line 7: frobnicate.u32: this instruction is "
                                                "not supported by the emulator (and 1 more)"));
}

TEST(Parser, UnknownKernel) {
  Emulator emulator("sm_90a");
  emulator.load(std::string(kHeader) + ".visible .entry k() { ret; }");
  Status status = emulator.run("q", 1, 1, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("kernel 'q' is not in the module; it has: k"));
}

TEST(Parser, ArgumentsAreCounted) {
  Emulator emulator("sm_90a");
  emulator.load(std::string(kHeader) + ".visible .entry k(.param .u32 k_0) { ret; }");
  Status status = emulator.run("k", 1, 1, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("kernel 'k' takes 1 arguments, 0 were given"));
}

TEST(Parser, GlobalsHoldTheirInitialValues) {
  Emulator emulator("sm_90a");
  emulator.compile(R"(__device__ int numbers[5] = {10, 20, 30}; __device__ int* pointer = numbers + 1;
    extern "C" __global__ void k(int* out) { out[0] = pointer[1]; out[1] = numbers[4]; numbers[0] += 1; out[2] = numbers[0]; })");
  auto out = emulator.empty<int>(3);
  EXPECT_TRUE(emulator.run("k", 1, 1, 0, out).ok()) << emulator.status().error().message;
  EXPECT_EQ(emulator.read(out), (std::vector<int>{30, 0, 11}));
  emulator.run("k", 1, 1, 0, out).ok();
  EXPECT_EQ(emulator.read(out)[2], 12);
}

}  // namespace
}  // namespace rtjit
