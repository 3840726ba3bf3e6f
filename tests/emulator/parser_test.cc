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

TEST(Parser, CallsThatAreNotSupportedNameTheKernel) {
  Emulator emulator("sm_90a");
  emulator.load(std::string(kHeader) +
                ".visible .entry k() {\n.reg .b64 %d<2>;\ncall (%d1), %d1, (%d1), p;\nret;\n}");
  Status status = emulator.run("k", 1, 1, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unsupported);
  EXPECT_THAT(status.error().message, HasSubstr("kernel k, PTX line 6: call: indirect calls"));
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

// What compilers wrote from PTX ISA 7.0 on, older spellings among it, means the same to 9.0.
TEST(Parser, EveryVersionFromSevenToNine) {
  const std::string text = R"(
.target sm_80
.address_size 64
	// .globl	k
.extern .func  (.param .b32 func_retval0) vprintf
(
	.param .b64 vprintf_param_0,
	.param .b64 vprintf_param_1
)
;
.global .align 1 .b8 $str[4] = {37, 100, 10};
.func  (.param .b32 func_retval0) twice(
	.param .b32 twice_param_0
)
{
	.reg .b32 	%r<3>;
	ld.param.u32 	%r1, [twice_param_0];
	shl.b32 	%r2, %r1, 1;
	st.param.b32 	[func_retval0+0], %r2;
	ret;
}
.visible .entry k(
	.param .u64 k_param_0
)
.maxntid 64, 1, 1
.minnctapersm 1
{
	.reg .pred 	%p<2>;
	.reg .b32 	%r<12>;
	.reg .b64 	%rd<6>;
	.shared .align 4 .b8 buffer[256];
	.loc	1 3 0
	ld.param.u64 	%rd1, [k_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	mov.u32 	%r1, %tid.x;
	mul.wide.u32 	%rd3, %r1, 4;
	add.s64 	%rd4, %rd2, %rd3;
	ld.global.u32 	%r2, [%rd4];
	mov.u32 	%r3, buffer;
	shl.b32 	%r4, %r1, 2;
	add.s32 	%r5, %r3, %r4;
	st.shared.u32 	[%r5], %r2;
	barrier.sync 	0;
	membar.gl;
	xor.b32  	%r6, %r4, 4;
	add.s32 	%r7, %r3, %r6;
	ld.shared.u32 	%r8, [%r7];
	{ // callseq 0, 0
	.reg .b32 temp_param_reg;
	.param .b32 param0;
	st.param.b32 	[param0+0], %r8;
	.param .b32 retval0;
	call.uni (retval0),
	twice,
	(
	param0
	);
	ld.param.b32 	%r9, [retval0+0];
	} // callseq 0
	shfl.sync.bfly.b32 	%r10|%p1, %r9, 2, 31, -1;
	bar.sync 	0;
	st.global.u32 	[%rd4], %r10;
	ret;
}
	.file	1 "old.cu"
)";
  for (const char* version : {"7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "7.7", "7.8", "8.0", "8.1",
                              "8.2", "8.3", "8.4", "8.5", "8.6", "8.7", "8.8", "9.0"}) {
    Emulator emulator("sm_90a");
    emulator.load(std::string("//\n// Generated by NVIDIA NVVM Compiler\n//\n.version ") + version + text);
    std::vector<int> in(64);
    for (int i = 0; i < 64; ++i) in[static_cast<size_t>(i)] = i * i;
    auto data = emulator.buffer(in);
    Status status = emulator.run("k", 1, 64, 0, data);
    ASSERT_TRUE(status.ok()) << version << ": " << status.error().message;
    std::vector<int> out = emulator.read(data);
    for (int i = 0; i < 64; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], 2 * (i ^ 3) * (i ^ 3)) << version;
  }
}

}  // namespace
}  // namespace rtjit
