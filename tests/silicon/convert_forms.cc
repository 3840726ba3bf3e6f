// Every cvt that sm_90 has.
#include "tests/silicon/forms.h"

namespace rtjit::silicon {

void add_convert_cases(std::vector<Case>* cases) {
  auto form = [&](std::string_view text, std::string_view types = "") { add_forms(cases, text, types); };
  form("cvt.<s8|u8|s16|u16>.<s32|u32> %d, %a;", "d=b32 a=b32");
  form("cvt.<s8|u8|s32|u32>.<s16|u16> %d, %a;", "d=b32 a=b16");
  form("cvt.<s16|s32|u32>.<s8|u8> %d, %a;", "d=b32 a=b32");
  form("cvt.<s64|u64>.<s32|u32> %d, %a;", "d=b64 a=b32");
  form("cvt.<s32|u32|s16|u8>.<s64|u64> %d, %a;", "d=b32 a=b64");
  form("cvt.sat.<s8|u8|s16|u16|u32>.s32 %d, %a;", "d=b32 a=b32");
  form("cvt.sat.<s8|u16|s32>.u32 %d, %a;", "d=b32 a=b32");
  form("cvt.sat.<s32|u32|u8>.<s64|u64> %d, %a;", "d=b32 a=b64");

  form("cvt.<rni|rzi|rmi|rpi>.<s32|u32>.f32 %d, %a;", "d=b32 a=f32");
  form("cvt.<rni|rzi>.ftz.<s32|u32>.f32 %d, %a;", "d=b32 a=f32");
  form("cvt.<rni|rmi>.<s64|u64>.f32 %d, %a;", "d=b64 a=f32");
  form("cvt.<rzi|rpi>.<s16|u16>.f32 %d, %a;", "d=b16 a=f32");
  form("cvt.<rni|rzi>.<s8|u8>.f32 %d, %a;", "d=b32 a=f32");
  form("cvt.<rni|rzi|rmi>.<s32|u32>.f64 %d, %a;", "d=b32 a=f64");
  form("cvt.<rzi|rpi>.<s64|u64>.f64 %d, %a;", "d=b64 a=f64");
  form("cvt.<rni|rzi>.<s32|u32>.<f16|bf16> %d, %a;", "d=b32");
  form("cvt.<rmi|rpi>.<s16|u16>.f16 %d, %a;", "d=b16");
  form("cvt.rzi.<s64|u64>.f16 %d, %a;", "d=b64");
  form("cvt.<rn|rz|rm|rp>.f32.<s32|u32> %d, %a;", "d=b32");
  form("cvt.<rn|rz|rm|rp>.f32.<s64|u64> %d, %a;", "d=b32");
  form("cvt.rn.f32.<s16|u16> %d, %a;", "d=b32");
  form("cvt.rn.f64.<s32|u32> %d, %a;", "d=b64");
  form("cvt.<rn|rz|rm|rp>.f64.<s64|u64> %d, %a;", "d=b64");
  form("cvt.<rn|rz|rp>.f16.<s32|u32> %d, %a;", "d=b16");
  form("cvt.rn.f16.<s16|u64> %d, %a;", "d=b16");
  form("cvt.<rn|rz>.bf16.<s32|u32> %d, %a;", "d=b16");

  form("cvt.<rni|rzi|rmi|rpi>.f32.f32 %d, %a;");
  form("cvt.<rni|rzi>.<ftz|sat>.f32.f32 %d, %a;");
  form("cvt.<ftz|sat|ftz.sat>.f32.f32 %d, %a;");
  form("cvt.<rni|rmi>.f64.f64 %d, %a;");
  form("cvt.<rni|rpi>.f16.f16 %d, %a;");
  form("cvt.<rn|rz|rm|rp>.f32.f64 %d, %a;", "d=b32");
  form("cvt.rn.<ftz|sat>.f32.f64 %d, %a;", "d=b32");
  form("cvt.<ftz.|>f64.f32 %d, %a;", "d=b64");
  form("cvt.<ftz.|sat.|>f32.f16 %d, %a;", "d=b32");
  form("cvt.f32.bf16 %d, %a;", "d=b32");
  form("cvt.f64.f16 %d, %a;", "d=b64");
  form("cvt.<rn|rz|rm|rp>.f16.f32 %d, %a;", "d=b16");
  form("cvt.rn.<ftz|sat|relu|satfinite|relu.satfinite>.f16.f32 %d, %a;", "d=b16");
  form("cvt.rn.f16.f64 %d, %a;", "d=b16");
  form("cvt.<rn|rz|rn.relu|rn.satfinite>.bf16.f32 %d, %a;", "d=b16");
  form("cvt.<rn|rz>.<relu.|satfinite.|><f16x2|bf16x2>.f32 %d, %a, %b;", "d=b32");
  form("cvt.<rna|rn|rz|rn.relu|rz.relu>.tf32.f32 %d, %a;");
  form("cvt.rn.satfinite.<relu.|><e4m3x2|e5m2x2>.f32 %d, %a, %b;", "d=b16 a=f32 b=f32");
  form("cvt.rn.satfinite.<relu.|><e4m3x2|e5m2x2>.f16x2 %d, %a;", "d=b16");
  form("cvt.rn.<relu.|>f16x2.<e4m3x2|e5m2x2> %d, %a;", "d=b32");
}

}  // namespace rtjit::silicon
