#include "emulator/matrix_descriptor.h"

#include "base/text.h"

namespace rtjit::emu {
namespace {
constexpr uint32_t kNone = 0, kSpan128Atom32 = 1, kSpan128 = 2, kSpan64 = 4, kSpan32 = 6;
}

MatrixDescriptor::MatrixDescriptor(uint64_t bits)
    : start_(static_cast<uint32_t>(bits & 0x3fff) << 4),
      leading_(static_cast<uint32_t>(bits >> 16 & 0x3fff) << 4),
      stride_(static_cast<uint32_t>(bits >> 32 & 0x3fff) << 4),
      base_offset_(static_cast<uint32_t>(bits >> 49 & 7)),
      mode_(static_cast<uint32_t>(bits >> 61)),
      version_(static_cast<uint32_t>(bits >> 46 & 7)),
      fixed_(static_cast<uint32_t>(bits >> 53 & 0xff)),
      absolute_(bits >> 52 & 1) {
  if (mode_ == kSpan32) span_ = 32;
  if (mode_ == kSpan64) span_ = 64;
  if (mode_ == kSpan128 || mode_ == kSpan128Atom32) span_ = 128;
}

std::string MatrixDescriptor::problem(bool transposed, bool wide, bool* unsupported) const {
  *unsupported = false;
  if (mode_ != kNone && mode_ != kSpan128Atom32 && mode_ != kSpan128 && mode_ != kSpan64 && mode_ != kSpan32)
    return fmt::format("the matrix descriptor's swizzle mode {} does not exist (0, 1, 2, 4 and 6 do)", mode_);
  if (version_ != 1 || fixed_ != 0)
    return fmt::format(
        "the matrix descriptor's fixed bits 46-48 and 53-60 are {} and {}; they must be 1 and 0", version_,
        fixed_);
  if (!transposed && mode_ == kSpan128Atom32)
    return "128-byte swizzling with atoms of 32 bytes is for transposed 32-bit elements only";
  if (transposed && wide != (mode_ == kSpan128Atom32))
    return wide ? "transposed 32-bit elements need 128-byte swizzling with atoms of 32 bytes (mode 1)"
                : "128-byte swizzling with atoms of 32 bytes (mode 1) is for transposed 32-bit elements only";
  *unsupported = true;
  if (absolute_) return "descriptors with an absolute leading address are not supported";
  if (base_offset_) return "descriptors with a base offset are not supported";
  *unsupported = false;
  return {};
}

uint32_t MatrixDescriptor::swizzle(uint32_t address) const {
  switch (mode_) {
    case kSpan128Atom32:
      return address ^ (address >> 7 & 3) << 5;
    case kSpan128:
      return address ^ (address >> 7 & 7) << 4;
    case kSpan64:
      return address ^ (address >> 7 & 3) << 4;
    case kSpan32:
      return address ^ (address >> 7 & 1) << 4;
    default:
      return address;
  }
}

uint32_t MatrixDescriptor::row_piece(uint32_t row, uint32_t piece) const {
  uint32_t along = mode_ == kNone ? piece * leading_ : piece * 16;
  return swizzle(start_ + row / 8 * stride_ + row % 8 * span_ + along);
}

uint32_t MatrixDescriptor::column_piece(uint32_t k, uint32_t piece) const {
  if (mode_ == kNone) return start_ + piece * stride_ + k / 8 * leading_ + k % 8 * 16;
  uint32_t atom = mode_ == kSpan128Atom32 ? 4 : 8, bytes = piece * 16;
  return swizzle(start_ + bytes % span_ + bytes / span_ * leading_ + k % atom * span_ + k / atom * stride_);
}

}  // namespace rtjit::emu
