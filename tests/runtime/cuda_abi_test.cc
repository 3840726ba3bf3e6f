// runtime/cuda_driver.h declares the driver's types itself; where the toolkit's header is installed the two
// are compared.
#include <gtest/gtest.h>

#include "runtime/cuda_driver.h"

#ifdef RTJIT_HAVE_CUDA_H
#include <cuda.h>

namespace rtjit {
namespace {

TEST(CudaAbi, LaunchConfigurationHasTheDriversLayout) {
  EXPECT_EQ(sizeof(cuda::LaunchAttribute), sizeof(CUlaunchAttribute));
  EXPECT_EQ(alignof(cuda::LaunchAttribute), alignof(CUlaunchAttribute));
  EXPECT_EQ(offsetof(cuda::LaunchAttribute, value), offsetof(CUlaunchAttribute, value));
  EXPECT_EQ(sizeof(cuda::LaunchConfig), sizeof(CUlaunchConfig));
  EXPECT_EQ(offsetof(cuda::LaunchConfig, dynamic_smem), offsetof(CUlaunchConfig, sharedMemBytes));
  EXPECT_EQ(offsetof(cuda::LaunchConfig, stream), offsetof(CUlaunchConfig, hStream));
  EXPECT_EQ(offsetof(cuda::LaunchConfig, attributes), offsetof(CUlaunchConfig, attrs));
  EXPECT_EQ(offsetof(cuda::LaunchConfig, attribute_count), offsetof(CUlaunchConfig, numAttrs));
}

TEST(CudaAbi, NumbersAreTheDrivers) {
  EXPECT_EQ(int{cuda::kMaxThreadsPerBlock}, int{CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK});
  EXPECT_EQ(int{cuda::kMaxRegistersPerBlock}, int{CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK});
  EXPECT_EQ(int{cuda::kClockKhz}, int{CU_DEVICE_ATTRIBUTE_CLOCK_RATE});
  EXPECT_EQ(int{cuda::kSmCount}, int{CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT});
  EXPECT_EQ(int{cuda::kMemoryClockKhz}, int{CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE});
  EXPECT_EQ(int{cuda::kMemoryBusBits}, int{CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH});
  EXPECT_EQ(int{cuda::kL2Bytes}, int{CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE});
  EXPECT_EQ(int{cuda::kMaxThreadsPerSm}, int{CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR});
  EXPECT_EQ(int{cuda::kPciBusId}, int{CU_DEVICE_ATTRIBUTE_PCI_BUS_ID});
  EXPECT_EQ(int{cuda::kPciDeviceId}, int{CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID});
  EXPECT_EQ(int{cuda::kPciDomainId}, int{CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID});
  EXPECT_EQ(int{cuda::kMajor}, int{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR});
  EXPECT_EQ(int{cuda::kMinor}, int{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR});
  EXPECT_EQ(int{cuda::kSmemPerSm}, int{CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR});
  EXPECT_EQ(int{cuda::kRegistersPerSm}, int{CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR});
  EXPECT_EQ(int{cuda::kSmemPerBlockOptin}, int{CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN});
  EXPECT_EQ(int{cuda::kBlocksPerSm}, int{CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR});
  EXPECT_EQ(int{cuda::kReservedSmemPerBlock}, int{CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK});
  EXPECT_EQ(int{cuda::kClusterLaunch}, int{CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH});
  EXPECT_EQ(int{cuda::kFunctionStaticSmem}, int{CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES});
  EXPECT_EQ(int{cuda::kFunctionLocalBytes}, int{CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES});
  EXPECT_EQ(int{cuda::kFunctionRegisters}, int{CU_FUNC_ATTRIBUTE_NUM_REGS});
  EXPECT_EQ(int{cuda::kFunctionMaxDynamicSmem}, int{CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES});
  EXPECT_EQ(unsigned{cuda::kClusterDimension}, unsigned{CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION});
  EXPECT_EQ(unsigned{cuda::kProgrammaticStreamSerialization},
            unsigned{CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION});
  EXPECT_EQ(cuda::kStreamNonBlocking, unsigned{CU_STREAM_NON_BLOCKING});
  EXPECT_EQ(cuda::kCaptureThreadLocal, int{CU_STREAM_CAPTURE_MODE_THREAD_LOCAL});
  EXPECT_EQ(cuda::kCaptureRelaxed, int{CU_STREAM_CAPTURE_MODE_RELAXED});
  EXPECT_EQ(cuda::kCaptureStatusNone, int{CU_STREAM_CAPTURE_STATUS_NONE});
  EXPECT_EQ(int{cuda::kPageableMemoryAccess}, int{CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS});
  EXPECT_EQ(int{cuda::kPointerMemoryType}, int{CU_POINTER_ATTRIBUTE_MEMORY_TYPE});
  EXPECT_EQ(int{cuda::kPointerIsManaged}, int{CU_POINTER_ATTRIBUTE_IS_MANAGED});
  EXPECT_EQ(int{cuda::kPointerDeviceOrdinal}, int{CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL});
  EXPECT_EQ(cuda::kMemoryTypeDevice, unsigned{CU_MEMORYTYPE_DEVICE});
  EXPECT_EQ(cuda::kInvalidValue, int{CUDA_ERROR_INVALID_VALUE});
  EXPECT_EQ(cuda::kJitErrorLogBuffer, int{CU_JIT_ERROR_LOG_BUFFER});
  EXPECT_EQ(cuda::kJitErrorLogBufferBytes, int{CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES});
  EXPECT_EQ(cuda::classify(CUDA_ERROR_ILLEGAL_ADDRESS), ErrorCode::device_fault);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_OUT_OF_MEMORY), ErrorCode::out_of_memory);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES), ErrorCode::unsupported);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH), ErrorCode::driver_too_old);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_SYSTEM_NOT_READY), ErrorCode::gpu_bad_state);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_DEVICE_UNAVAILABLE), ErrorCode::gpu_bad_state);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_NO_DEVICE), ErrorCode::no_gpu);
  EXPECT_EQ(cuda::classify(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace rtjit
#endif
